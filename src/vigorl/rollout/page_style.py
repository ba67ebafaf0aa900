"""The style sheet of `page`: light and dark, colour-blind safe, no outside resource."""

STYLE = """
:root { color-scheme: light dark;
  --bg: #f6f6f3; --card: #ffffff; --text: #1c1d1f; --soft: #5d6066; --line: #dcdcd6; --fill:
  #ecece7;
  --right: #00734f; --wrong: #b34700; --bar: #3b6fb0; --minus: #b34700; --warn: #fff0d6; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #16181b; --card: #1f2226; --text: #e8e6e1; --soft: #a2a6ad; --line: #363a40; --fill:
  #2a2e33;
  --right: #3fcf9f; --wrong: #ff9a5c; --bar: #7fb2ee; --minus: #ff9a5c; --warn: #45340f; } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 28px 32px 60px; max-width: 1480px; background: var(--bg);
  color: var(--text); font: 14px/1.45 system-ui, -apple-system, "Segoe UI", "DejaVu Sans",
  sans-serif }
h1 { font-size: 25px; margin: 0 0 2px; letter-spacing: -0.01em }
h2 { font-size: 20px; margin: 0; line-height: 1.25 }
h3 { font-size: 14px; margin: 0; font-weight: 600 }
p { margin: 0 }
a { color: inherit }
code, .mono { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, monospace; font-size: 12px }
.soft { color: var(--soft) } .small { font-size: 12px }
.right { color: var(--right) } .wrong { color: var(--wrong) }
.num { font-variant-numeric: tabular-nums; text-align: right }
.text { overflow-wrap: anywhere; white-space: pre-line; unicode-bidi: isolate }
summary { cursor: pointer }

header.page { margin-bottom: 18px }
.notes { margin-top: 8px; max-width: 90ch; white-space: pre-line }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 14px 0 10px; padding: 0 }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 8px 14px 9px; min-width: 112px }
.tile dt { font-size: 12px; color: var(--soft) }
.tile dd { margin: 0; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums }
.columns { columns: 3 260px; margin: 8px 0 0; font-size: 12px }
.columns div { display: flex; justify-content: space-between; gap: 12px; break-inside: avoid }
.columns dd { margin: 0 }
.key { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 20px; font-size: 12px;
  color: var(--soft); border-top: 1px solid var(--line); border-bottom: 1px solid var(--line);
  padding: 7px 0; margin: 12px 0 }
.key span { display: inline-flex; align-items: center; gap: 6px }
nav ol { margin: 0; padding-left: 22px } nav li { padding: 1px 0 }
nav .verdicts { letter-spacing: 2px; margin-left: 8px }

section.group { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  margin: 22px 0 0; overflow: hidden }
.group > .head { padding: 16px 20px 12px; border-bottom: 1px solid var(--line) }
.head .meta { margin-top: 3px }
.whole { display: grid; grid-template-columns: minmax(280px, 448px) 1fr; gap: 8px 26px;
  padding: 18px 20px; align-items: start }
.whole > div { display: grid; gap: 16px; min-width: 0; overflow-x: auto }
svg.picture { display: block; width: 100%; height: auto; border-radius: 6px; background:
  var(--fill) }
.others { display: flex; gap: 6px; margin-top: 6px } .others img { height: 80px; border-radius:
  4px }
.options { list-style: none; margin: 0; padding: 0; display: grid; gap: 4px; max-width: 520px }
.options li { display: grid; grid-template-columns: 1.3em minmax(90px, 46%) 1fr 2em; gap: 8px;
  align-items: center }
.options .is-right { font-weight: 650 }
.track { display: block; height: 8px; border-radius: 4px; background: var(--fill); overflow:
  hidden }
.track i { display: block; height: 100%; background: var(--bar) }
.is-right .track i { background: var(--right) }
table { border-collapse: collapse; width: 100% }
th { font-weight: 500; font-size: 12px; color: var(--soft); text-align: left }
th, td { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); vertical-align: middle }
tr:last-child td { border-bottom: 0 }
th.num { text-align: right } td.num { white-space: nowrap }
td.answer { max-width: 260px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
td a { text-decoration: none } td a:hover { text-decoration: underline }

.chip { display: inline-block; min-width: 21px; height: 21px; border-radius: 11px; padding: 0 6px;
  text-align: center; font: 600 12px/21px system-ui, "DejaVu Sans", sans-serif; color: #111 }
.chip.dark { color: #fff }
.flag { background: var(--warn); border-radius: 4px; padding: 1px 7px; font-size: 12px }
article { border-top: 1px solid var(--line); padding: 13px 20px 16px }
article > header { display: flex; flex-wrap: wrap; gap: 5px 18px; align-items: center }
article > header .verdict { font-weight: 650; max-width: 320px; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap }
.parts { display: flex; flex-wrap: wrap; gap: 3px 18px; margin: 0; padding: 0 }
.parts div { display: grid; grid-template-columns: auto 70px auto; gap: 7px; align-items: center;
  font-size: 12px }
.parts dt { color: var(--soft) }
.parts dd { margin: 0; display: contents } .parts b { font-weight: 600 }
.adv { position: relative; display: inline-block; width: 70px; height: 8px; border-radius: 4px;
  background: var(--fill); vertical-align: 1px; margin-right: 7px }
.adv::after { content: ""; position: absolute; left: 50%; top: -3px; height: 14px;
  border-left: 1px solid var(--soft) }
.adv i { position: absolute; top: 0; height: 100%; background: var(--bar) }
.adv i.minus { background: var(--minus) }
.strip { display: grid; grid-template-columns: 272px 1fr; gap: 18px; margin-top: 11px;
  align-items: start }
.turns { display: grid; grid-template-columns: repeat(auto-fill, minmax(222px, 1fr)); gap: 16px
  18px;
  grid-column: 2; margin: 0; padding: 0; list-style: none }
.strip figure { margin: 0 } figcaption { font-size: 12px; color: var(--soft); margin-top: 3px }
.turn { border-left: 2px solid var(--line); padding-left: 12px; display: grid; gap: 7px;
  min-width: 0;
  align-content: start }
.turn h4 { margin: 0; font-size: 12px; font-weight: 600; color: var(--soft); display: flex; gap:
  7px;
  align-items: center }
.turn img { display: block; width: 208px; max-width: 100%; border-radius: 5px;
  border: 2px solid var(--line) }
.turn img.tiny { image-rendering: pixelated } .turn img.hit { border-color: var(--right) }
.tag { color: var(--soft); opacity: .62; font: 11px ui-monospace, "DejaVu Sans Mono", monospace }
.forced { color: var(--soft); font-style: italic }
.block-tool_call { font: 12px/1.4 ui-monospace, "DejaVu Sans Mono", monospace; background:
  var(--fill);
  border-radius: 5px; padding: 4px 8px }
.block-answer { font-weight: 650 }
.block-observation { font-size: 12px; color: var(--soft) }
.block-outside { background: var(--warn); border-radius: 4px; padding: 2px 6px }
.problem { background: var(--warn); border-left: 3px solid var(--wrong); border-radius: 4px;
  padding: 4px 8px; font-size: 12.5px }
@media (max-width: 800px) { body { padding: 16px } .whole, .strip { grid-template-columns: 1fr }
  .turns { grid-column: 1 } }
@media print { body { max-width: none } article, .whole { break-inside: avoid } }
"""
