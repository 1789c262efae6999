import torch

# Two threads on a busy machine are many times slower than one.
torch.set_num_threads(1)
