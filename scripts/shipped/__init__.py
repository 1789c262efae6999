"""What ships beside the nodes: workflows, the subgraph blueprint, their pictures, and the commands that make them."""
