LEVELS = [849, 804, 759, 715, 670, 625, 581, 536, 491, 447, 402, 358, 313, 268, 224, 179, 134, 90, 45, 1]
"""The official levels of 20 steps at skip 0.15, which end at table index 0."""
