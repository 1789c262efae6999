"""Nodes that use a prediction again for another step would do so in other steps of an edit than of its inversion."""

from __future__ import annotations

from scripts.host.in_comfy import run

import pytest
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode

from support import third_party
from support.stock_nodes import first_output

CACHES = {
    "easycache": lambda model: first_output(EasyCacheNode.execute(model, 0.2, 0.15, 0.95, False)),
    "lazycache": lambda model: first_output(LazyCacheNode.execute(model, 0.2, 0.15, 0.95, False)),
    "BlockCache": third_party.BlockCache.on,
}


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_is_refused_by_name(name, model, concept, invert, inversion, edit, unchanged, vae):
    cached, refused = CACHES[name](model), rf"input 'model': has '{name}' on it"
    with unchanged(cached):
        with pytest.raises(ValueError, match=r"^LEDITS\+\+ Invert, " + refused):
            invert(cached)
        with pytest.raises(ValueError, match=r"^LEDITS\+\+ Edit, " + refused):
            edit(cached, inversion, concept("a green circle"))
        with pytest.raises(ValueError, match=r"^LEDITS\+\+ Masked Guider, " + refused):
            run("LEDITS_MaskedGuider", model=cached, inversion=inversion)
        sweep = {"vae": vae, "concepts": concept("a green circle"), "column_values": "3, 5", "row_values": ""}
        with pytest.raises(ValueError, match=r"^LEDITS\+\+ Sweep, " + refused):
            run("LEDITS_Sweep", model=cached, inversion=inversion, **sweep)
