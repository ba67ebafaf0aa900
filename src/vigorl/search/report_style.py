"""What the page of a search adds to the style sheet of `rollout.page_style`."""

SEARCH_STYLE = """
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 14px;
  margin: 0 0 26px }
.chart { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 14px 8px; max-width: 520px }
.chart svg { display: block; width: 100%; margin-top: 4px }
.chart text { font: 11px system-ui, "DejaVu Sans", sans-serif; fill: var(--soft);
  text-anchor: middle }
.chart .ytick { text-anchor: end } .chart .count { fill: var(--text) }
.chart .grid { stroke: var(--line) }
.chart .bar, .chart .dot { fill: var(--bar) }
.chart polyline { fill: none; stroke: var(--bar); stroke-width: 2 }
.chart .band { fill: var(--bar); opacity: .16 }
.ramp { display: inline-block; width: 90px; height: 10px; border-radius: 5px }
.sample { background: #a9adb3; border-radius: 5px }

section.tree { overflow: clip }
.tree .whole { grid-template-columns: minmax(280px, 448px) minmax(0, 1fr) }
.tree figure { margin: 0 0 10px }
section.tree .options { margin-top: 4px }
.beside { position: sticky; top: 12px; min-width: 0 }
.edges path, .leader path { fill: none }
.edges path { stroke: #000; stroke-opacity: .45; stroke-width: 2.6 }
.edges path:nth-child(2n) { stroke: #fff; stroke-opacity: .95; stroke-width: 1.1 }
.leader path { stroke: #000; stroke-opacity: .8; stroke-width: 1; stroke-dasharray: 2 2 }
.leader circle { fill: #000; stroke: #fff; stroke-width: .8 }
circle.hit { fill: none; stroke: #000; stroke-width: 2.2 }
circle.miss { fill: none; stroke: #000; stroke-width: 1.6;
  stroke-dasharray: 2.5 3 }
.disc text { font-family: sans-serif; font-weight: 700; fill: #111; text-anchor: middle }
.disc:hover circle:first-of-type { stroke: #000 }

.thoughts, .thoughts ul { list-style: none; margin: 0; padding: 0 }
.thoughts ul { margin-left: 11px; padding-left: 14px; border-left: 2px solid var(--line) }
.thoughts li { scroll-margin-top: 20px }
.thoughts summary { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 0 8px;
  padding: 4px 6px; border-radius: 6px; align-items: start }
.thoughts summary:hover { background: var(--fill) }
.thoughts li:target > details > summary { background: var(--warn) }
.thoughts .line { overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.thoughts details[open] .line { display: none }
.thoughts .facts { grid-column: 2; font-size: 12px; display: flex; flex-wrap: wrap; gap: 0 9px }
.thoughts .body { margin: 0 0 6px 37px; display: grid; gap: 5px }
@media (max-width: 800px) { .tree .whole { grid-template-columns: minmax(0, 1fr) }
  .beside { position: static } }
"""
