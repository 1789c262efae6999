// Runs in ComfyUI's page: builds a graph from its description and gives back what the page would save.
// arguments[0]: {groups: [[{title, colour, columns: [[{id, kind, title, mode, size, widgets, labels, links, files}]]}]]}

const MARGIN = 40, HEAD = 70, TITLE = 30, GAP = 60

function made(description) {
  if (description.inside) return enclosed(description)
  const node = LiteGraph.createNode(description.kind)
  if (!node) throw new Error(`There is no node ${description.kind}`)
  // The page remembers the widgets of an earlier graph's node of the same id, and would give them to this one.
  const fresh = (node.widgets ?? []).map((widget) => widget.value)
  node.id = description.id
  if (description.title) node.title = description.title
  app.rootGraph.add(node)
  fresh.forEach((value, place) => (node.widgets[place].value = value))
  for (const [name, value] of Object.entries(description.widgets)) {
    const widget = name === '' ? node.widgets[0] : node.widgets.find((widget) => widget.name === name)
    if (!widget) throw new Error(`${description.kind} has no widget ${name}`)
    widget.value = value
  }
  for (const [name, label] of Object.entries(description.labels)) node.inputs.find((input) => input.widget?.name === name).label = label
  if (description.files.length) node.properties.models = description.files
  sized(node, description)
  return node
}

/** The node of a subgraph, which was built before all others. */
function enclosed(description) {
  const node = app.rootGraph.getNodeById(description.id)
  if (!node?.subgraph) throw new Error(`${description.kind} is not node ${description.id}, but ${app.rootGraph.nodes.map((node) => node.id)}`)
  for (const [name, value] of Object.entries(description.widgets)) node.widgets.find((widget) => widget.name === name).value = value
  sized(node, description)
}

function sized(node, description) {
  const least = node.computeSize()
  node.setSize([Math.max(least[0], description.size[0]), Math.max(least[1], description.size[1])])
}

function connect(description) {
  const target = app.rootGraph.getNodeById(description.id)
  for (const [name, [source, output]] of Object.entries(description.links)) {
    const slot = target.inputs.findIndex((input) => input.name === name)
    if (slot < 0) throw new Error(`${description.kind} has no input ${name}`)
    if (!app.rootGraph.getNodeById(source).connect(output, target, slot)) throw new Error(`${source} cannot feed ${name} of ${description.id}`)
  }
  target.mode = description.mode
}

/** Stacks the columns of a group at a place; returns its right and lower edge. */
function lay(group, left, top) {
  let x = left + MARGIN, bottom = top
  for (const column of group.columns) {
    let y = top + HEAD + TITLE, width = 0
    for (const { id } of column) {
      const node = app.rootGraph.getNodeById(id)
      node.pos = [x, y]
      y += node.size[1] + TITLE + MARGIN
      width = Math.max(width, node.size[0])
    }
    bottom = Math.max(bottom, y - TITLE)
    x += width + GAP
  }
  const ground = new LiteGraph.LGraphGroup(group.title)
  ground.color = group.colour
  ground.font_size = 30
  ground.pos = [left, top]
  ground.size = [x - GAP + MARGIN - left, bottom - top]
  app.rootGraph.add(ground)
  return [x - GAP + MARGIN, bottom]
}

function build(description) {
  app.rootGraph.clear()
  const all = description.groups.flat().flatMap((group) => group.columns.flat())
  for (const { kind, inside } of all.filter((node) => node.inside)) {
    build(inside)
    enclose(kind, inside.inputs, inside.outputs)
  }
  all.forEach(made)
  all.forEach(connect)
  let left = 0
  for (const place of description.groups) {
    let top = 0, right = left
    for (const group of place) {
      const [x, y] = lay(group, left, top)
      right = Math.max(right, x)
      top = y + MARGIN
    }
    left = right + MARGIN
  }
}

/** Puts the whole graph into one subgraph node with these inputs, [name, [[node, input]]], and outputs, [name, node, place]. */
function enclose(name, inputs, outputs) {
  const { subgraph, node } = app.rootGraph.convertToSubgraph(new Set([...app.rootGraph.nodes, ...app.rootGraph.groups]))
  for (const input of [...subgraph.inputs]) subgraph.removeInput(input)
  for (const [label, ends] of inputs) {
    let made
    for (const [id, slot] of ends) {
      const target = subgraph.getNodeById(id)
      const input = target.inputs.find((input) => input.name === slot)
      if (!input) throw new Error(`${target.type} has no input ${slot}`)
      made ??= subgraph.addInput(label, input.type)
      made.connect(input, target)
    }
  }
  for (const [label, id, place] of outputs) {
    const source = subgraph.getNodeById(id)
    subgraph.addOutput(label, source.outputs[place].type).connect(source.outputs[place], source)
  }
  subgraph.name = node.title = name
  node.setSize([340, 480])
  node.pos = [0, 0]
}
