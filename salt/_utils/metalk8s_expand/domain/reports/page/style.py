"""The style sheet of the page: light and dark, phone and print. It loads nothing."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--bg:#f4f6f8;--card:#fff;--ink:#1a2027;--soft:#4f5b67;--line:#d9e0e6;
--accent:#0a58a6;--good:#0f6230;--good-bg:#dcf5e4;--bad:#a30f24;--bad-bg:#fde8e8;--warn:#734700;
--warn-bg:#fdf0d2;--code:#eef1f4;--track:#eef1f4;--check:#ced6de;--blue:#bcdcfb;--amber:#fbdca3;
--violet:#cfc3f7;--green:#b3e3c3;--pink:#f5cfe0;--teal:#b3e3e3;--bar-ink:#1a2027;--node:#8896a5}
@media (prefers-color-scheme:dark){:root{--bg:#0e1217;--card:#171c23;--ink:#e7ecf1;--soft:#a3afbb;
--line:#2c343d;--accent:#7ab8ff;--good:#6fd694;--good-bg:#12301f;--bad:#ff9a93;--bad-bg:#3a1518;
--warn:#f0c05f;--warn-bg:#322508;--code:#232a32;--track:#222930;--check:#46525f;--blue:#1d4a78;
--amber:#6d4a0c;--violet:#4c3c94;--green:#1b5735;--pink:#6b2f4c;--teal:#175459;--bar-ink:#f2f5f8;
--node:#75828f}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.55 system-ui,-apple-system,
"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif;overflow-wrap:anywhere}
.page{max-width:1120px;margin:0 auto;padding:0 20px 56px}
.skip{position:absolute;left:-999px}.skip:focus{left:12px;top:12px;background:var(--card);
padding:8px 12px;z-index:9}
a{color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:4px}
h1,h2,h3{line-height:1.25;margin:0;text-wrap:balance}
h1{font-size:30px;letter-spacing:-.02em}h2{font-size:19px;letter-spacing:-.01em}h3{font-size:15px}
p{margin:6px 0}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
p code,td code,dd code,li code{background:var(--code);padding:1px 5px;border-radius:4px}
pre{margin:8px 0;padding:10px 14px;background:var(--code);border-radius:8px;white-space:pre-wrap;
border-left:3px solid var(--accent)}
.soft,caption,dt{color:var(--soft)}.small{font-size:13px}
header{padding:36px 0 20px}
.brand{display:flex;gap:8px;align-items:center;color:var(--soft);font-size:13px;margin-bottom:14px}
.brand svg{width:18px;height:18px}
.title{display:flex;flex-wrap:wrap;gap:6px 14px;align-items:center}
.lead{font-size:17px;margin:8px 0 10px;color:var(--ink)}
.facts{display:flex;flex-wrap:wrap;gap:2px 20px;font-size:13px;color:var(--soft);margin:0;padding:0;
list-style:none}
.badge{display:inline-flex;gap:6px;align-items:center;border-radius:99px;padding:2px 11px 2px 9px;
font-size:13px;font-weight:600;white-space:nowrap}
.badge.good,.tag.good{background:var(--good-bg);color:var(--good)}
.badge.bad,.tag.bad{background:var(--bad-bg);color:var(--bad)}
.badge.warn,.tag.warn{background:var(--warn-bg);color:var(--warn)}
.tag{display:inline-block;border-radius:5px;padding:0 7px;font-size:12px;font-weight:600;
background:var(--code);color:var(--ink);white-space:nowrap}
nav ul{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 18px;padding:0;list-style:none;
font-size:14px}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:22px 24px;
margin:0 0 18px}
section>h2{margin-bottom:10px}section h3{margin:20px 0 6px}
section.failed{border-color:var(--bad);border-left-width:5px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;margin:0;
background:var(--line);border:1px solid var(--line);border-radius:14px;overflow:hidden}
.tile{background:var(--card);padding:14px 18px;display:flex;flex-direction:column}
.tile dt{font-size:13px;order:0}.tile dd{margin:0}
.tile .v{font-size:25px;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums;
line-height:1.3}
.tile .h{font-size:13px;color:var(--soft)}
.numbers{padding:0;border:0;background:none}
.failure{border-top:1px solid var(--line);padding:14px 0 6px}.failure:first-of-type{border:0;
padding-top:6px}.failure h3{margin:0 0 4px}
.failure dl{display:grid;grid-template-columns:104px minmax(0,1fr);gap:4px 12px;margin:8px 0 0}
.failure dd{margin:0}.failure ul,.plain{margin:4px 0;padding-left:20px}
.panels{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:18px}
.panel{border:1px solid var(--line);border-radius:12px;padding:16px;background:var(--bg)}
.panel.one{grid-column:1/-1}.panels{align-items:start}
.panels.stacked{grid-template-columns:minmax(0,1fr)}
.panel>h3{margin:0 0 2px;display:flex;justify-content:space-between;gap:8px}
.etcd{display:flex;gap:12px;align-items:center;margin:8px 0 14px;padding:8px 12px;
background:var(--card);border:1px solid var(--line);border-radius:10px}
.etcd svg{flex:none;height:34px;max-width:45%}
.etcd p{margin:0;line-height:1.35}
.group{margin:12px 0 0}.group h4{margin:0 0 6px;font-size:13px;font-weight:600;color:var(--soft);
display:flex;justify-content:space-between;gap:8px}
.nodes{display:grid;grid-template-columns:repeat(auto-fill,minmax(148px,1fr));gap:8px;margin:0;
padding:0;list-style:none}
.node{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--node);
border-radius:8px;padding:7px 10px;font-size:13px;line-height:1.4}
.node b{display:block;font-size:14px}.node .tag{white-space:normal}
.node .m{color:var(--soft);display:block}
.node.added{border-left-color:var(--good)}.node.failed{border-color:var(--bad)}
.node.removed{border-left-style:dashed;border-left-color:var(--warn)}
.node.removed b{text-decoration:line-through}
.node.changed{border-left-color:var(--accent)}
.dots{display:flex;flex-wrap:wrap;gap:3px;line-height:0}
.dots i{width:11px;height:11px;border-radius:3px;background:var(--node)}
.dots .added{background:var(--good);border-radius:50%}
.dots .changed{background:var(--accent)}
.dots .failed{background:var(--bad);transform:rotate(45deg) scale(.85);border-radius:0}
.dots .removed{background:none;border:2px dashed var(--warn)}
.dots .hollow{background:none;border:2px solid var(--node)}
.dots .added.hollow{border-color:var(--good)}.dots .changed.hollow{border-color:var(--accent)}
.dots .failed.hollow{background:var(--bad);border:0}
.key{display:flex;flex-wrap:wrap;gap:4px 16px;margin:10px 0 0;padding:0;list-style:none;
font-size:13px;color:var(--soft)}
.key li{display:flex;gap:6px;align-items:center}
.key .s{width:14px;height:11px;border-radius:3px}
.lanes{margin:12px 0 0;padding:0;list-style:none;position:relative}
.lane{display:grid;grid-template-columns:150px minmax(0,1fr) 88px;gap:12px;align-items:center;
padding:3px 0;font-size:13px}
.lane .who{font-weight:600;line-height:1.25}.lane .who .soft{font-weight:400}
.lane .took{text-align:right;font-variant-numeric:tabular-nums;color:var(--soft)}
.track{position:relative;height:24px;background:var(--track);border-radius:5px;overflow:hidden}
.track.states{height:32px}
.bar{position:absolute;top:0;height:24px;min-width:2px;background:var(--check);color:var(--bar-ink);
border-right:1px solid var(--card);font-size:12px;line-height:22px;container-type:inline-size;
overflow:hidden;white-space:nowrap}
.bar span{display:block;padding-left:5px;overflow:hidden;text-overflow:ellipsis}
@container (max-width:38px){.bar span{visibility:hidden}}
.bar.critical{box-shadow:inset 0 -3px 0 var(--ink)}
.bar.failed,.s.failed{background:repeating-linear-gradient(135deg,var(--bad-bg) 0 6px,
var(--card) 6px 10px);color:var(--bad);box-shadow:inset 0 0 0 2px var(--bad);font-weight:700}
.sub{position:absolute;top:25px;height:6px;min-width:1px;background:var(--violet);
border-right:1px solid var(--card)}
.sub:nth-of-type(even){opacity:.65}.sub.failed{background:var(--bad)}
.c-blue{background:var(--blue)}.c-amber{background:var(--amber)}.c-violet{background:var(--violet)}
.c-green{background:var(--green)}.c-pink{background:var(--pink)}.c-teal{background:var(--teal)}
.c-check{background:var(--check)}
.s.critical{background:none;border-bottom:3px solid var(--ink);border-radius:0}
.axis{display:grid;grid-template-columns:150px minmax(0,1fr) 88px;gap:12px;font-size:12px;
color:var(--soft)}
.axis div{position:relative;height:18px}.axis span{position:absolute;white-space:nowrap;
border-left:1px solid var(--soft);padding-left:4px;line-height:14px}
.density{display:block;width:100%;height:130px;background:var(--track);border-radius:8px}
.f-blue{fill:var(--blue)}.f-amber{fill:var(--amber)}.f-violet{fill:var(--violet)}
.f-green{fill:var(--green)}.f-pink{fill:var(--pink)}.f-teal{fill:var(--teal)}
.f-check{fill:var(--check)}
.scroll{overflow-x:auto;margin:8px 0 0}th code,td code{overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:13.5px;overflow-wrap:break-word}
caption{text-align:left;font-size:13px;padding:0 0 6px}
th,td{text-align:left;vertical-align:top;padding:6px 12px 6px 0;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--soft);font-weight:600;font-size:13px}
tbody th{font-weight:600}.d{white-space:nowrap}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.meter{display:inline-block;height:9px;border-radius:3px;background:var(--accent);min-width:2px;
vertical-align:middle}
.meter.failed{background:repeating-linear-gradient(135deg,var(--bad) 0 4px,var(--bad-bg) 4px 7px)}
details{margin:8px 0 0}details p{margin:6px 0}
summary{cursor:pointer;color:var(--accent);font-size:14px}
details details{display:inline}p details,dd details,td details,li details{display:inline-block;
margin:0}
footer{color:var(--soft);font-size:13px}
.plus{color:var(--good)}.minus{color:var(--bad)}.plus,.minus,.tilde{font-weight:700}
@media screen and (max-width:720px){table{min-width:600px}
.scroll{background:linear-gradient(90deg,var(--card) 30%,transparent),
linear-gradient(270deg,var(--card) 30%,transparent) 100% 0,
linear-gradient(90deg,var(--line),transparent),
linear-gradient(270deg,var(--line),transparent) 100% 0;background-repeat:no-repeat;
background-size:40px 100%,40px 100%,14px 100%,14px 100%;
background-attachment:local,local,scroll,scroll}
.page{padding:0 14px 40px}header{padding-top:24px}
h1{font-size:25px}
section{padding:16px;border-radius:12px}.panels{grid-template-columns:minmax(0,1fr)}
.tiles{grid-template-columns:1fr 1fr}.tile{padding:11px 14px}.tile .v{font-size:21px}
.lane{grid-template-columns:minmax(0,1fr) auto;gap:1px 8px;padding:6px 0}
.lane .track{grid-column:1/-1;grid-row:2}.axis{grid-template-columns:minmax(0,1fr)}
.axis>:first-child,.axis>:last-child{display:none}
.failure dl{grid-template-columns:minmax(0,1fr);gap:0}.failure dd{margin-bottom:6px}}
@page{size:A4;margin:14mm 13mm}
@media print{:root{color-scheme:light;--bg:#fff;--card:#fff;--ink:#111;--soft:#444;--line:#c8ced4;
--accent:#0a58a6;--good:#0f6230;--good-bg:#dcf5e4;--bad:#a30f24;--bad-bg:#fde8e8;--warn:#734700;
--warn-bg:#fdf0d2;--code:#f1f3f5;--track:#eef1f4;--check:#ced6de;--blue:#bcdcfb;--amber:#fbdca3;
--violet:#cfc3f7;--green:#b3e3c3;--pink:#f5cfe0;--teal:#b3e3e3;--bar-ink:#111;--node:#8896a5}
body{font-size:10.5pt}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.page{max-width:none;padding:0}nav,.skip{display:none}header{padding:0 0 10px}
section{border-radius:8px;padding:12px 14px;margin-bottom:10px}
h2,h3,h4,thead,caption{break-after:avoid}tr,.node,.lane,.failure,.tile,.panel{break-inside:avoid}
.panels{grid-template-columns:1fr 1fr}.panels.stacked{grid-template-columns:1fr}
.lane,.axis{grid-template-columns:110px minmax(0,1fr) 84px}
.scroll{overflow:visible;background:none}.long{display:none}
.tiles{grid-template-columns:repeat(4,1fr)}.tile{padding:8px 12px}.tile .v{font-size:19px}
h1{font-size:24px}.nodes{grid-template-columns:repeat(auto-fill,minmax(128px,1fr))}
table{font-size:8pt}th,td,thead th{padding:3px 8px 3px 0;font-size:8pt}
details::details-content{content-visibility:visible;block-size:auto;height:auto;opacity:1}
summary{list-style:none;color:var(--soft)}summary::-webkit-details-marker{display:none}}
"""
