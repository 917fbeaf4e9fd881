"""What the page wears: its style, and the one small script that moves the threshold."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--page:#f6f6f3;--card:#fff;--ink:#1d2433;--soft:#5b6475;--line:#e3e4e0;--track:#eceeef;
--accent:#2f63c9;--right:#1c8a62;--wrong:#cf4a35;--trivial:#b4690e;--on:#fff;--warn:#fdf4e3;--warn-line:#e5b567}
@media (prefers-color-scheme:dark){:root{--page:#12151b;--card:#1a1f28;--ink:#e6e9ef;--soft:#9aa4b5;--line:#2b323e;
--track:#262d38;--accent:#7ba4f4;--right:#43b98a;--wrong:#ee7b66;--trivial:#e8ac55;--on:#10141a;--warn:#2a2417;
--warn-line:#7a5f2c}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,
"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
main{max-width:1000px;margin:0 auto;padding:0 20px 64px}
header{padding:48px 0 8px}
.eyebrow{color:var(--soft);font-size:14px;margin:0}
h1{font-size:clamp(28px,6vw,42px);line-height:1.15;margin:4px 0 12px;letter-spacing:-.02em}
.lead{font-size:clamp(18px,3vw,22px);line-height:1.45;margin:0 0 8px;max-width:44em}
h2{font-size:22px;line-height:1.3;margin:0 0 6px;letter-spacing:-.01em}
h3{font-size:15px;margin:20px 0 6px}
p{margin:0 0 12px;max-width:64em}
.soft,.small{color:var(--soft)} .small{font-size:14px}
nav{display:flex;flex-wrap:wrap;gap:6px 16px;padding:12px 0;margin:16px 0 24px;font-size:14px;
border-top:1px solid var(--line);border-bottom:1px solid var(--line)}
nav a{color:var(--accent);text-decoration:none} nav a:hover{text-decoration:underline}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:24px;margin:0 0 20px;
scroll-margin-top:16px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin:24px 0 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.tile b{display:block;font-size:26px;line-height:1.25;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.tile span{color:var(--soft);font-size:13px;display:block;line-height:1.4}
.warn{background:var(--warn);border-color:var(--warn-line)}
blockquote{margin:12px 0 16px;padding-left:16px;border-left:3px solid var(--line);white-space:pre-line}
ul{margin:4px 0 8px;padding-left:20px} li{margin:3px 0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(340px,100%),1fr));gap:12px 32px;align-items:start}
.pair>*{min-width:0}
.scroll{overflow-x:auto} .scroll+.small,svg+.small{margin-top:10px}
svg{display:block;width:100%;max-width:560px;height:auto;font:13px system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.scroll svg{width:auto;max-width:none}
svg text{fill:var(--ink)} svg .tick,svg .axis{fill:var(--soft);font-size:12px}
svg .value{font-variant-numeric:tabular-nums}
.grid{stroke:var(--line)} .base{stroke:var(--soft)} .line{fill:none;stroke:var(--accent);stroke-width:2.5;
stroke-linejoin:round} .ideal{fill:none;stroke:var(--soft);stroke-width:1.3;stroke-dasharray:4 4}
.dot{fill:var(--accent);stroke:var(--card);stroke-width:1.5} .point{fill:var(--accent);fill-opacity:.4}
.bar{fill:var(--accent)} .track,.empty{fill:var(--track)} .whisker{stroke:var(--ink);stroke-width:1.4;fill:none}
.trivial{stroke:var(--trivial);stroke-width:3} .right{fill:var(--right)} .wrong{fill:var(--wrong)}
svg .count{font-size:14px;font-variant-numeric:tabular-nums} svg .over{fill:var(--on);font-weight:600}
.key{display:inline-block;width:3px;height:14px;background:var(--trivial);vertical-align:-2px;margin-right:6px}
table{border-collapse:collapse;width:100%;font-size:14px;line-height:1.45}
th,td{text-align:left;padding:7px 14px 7px 0;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:break-word}
th{color:var(--soft);font-weight:500;white-space:nowrap} tr:last-child>td{border-bottom:0}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.wide{min-width:14em;overflow-wrap:anywhere} .name{min-width:7em}
.pill{display:inline-block;border:1px solid var(--line);border-radius:99px;padding:0 8px;
font-size:12.5px;color:var(--soft);white-space:nowrap}
.unused{color:var(--soft)}
.meter{display:block;height:6px;min-width:70px;border-radius:3px;background:var(--track);margin-top:7px}
.meter i{display:block;height:6px;border-radius:3px;background:var(--accent)}
input[type=range]{width:100%;max-width:560px;accent-color:var(--accent);margin:8px 0}
.flow{display:grid;grid-template-columns:repeat(auto-fit,minmax(115px,1fr));gap:10px;margin:12px 0}
.flow div{border-left:4px solid var(--right);background:var(--track);border-radius:6px;padding:8px 12px}
.flow div.bad{border-color:var(--wrong)} .flow b{display:block;font-size:22px;font-variant-numeric:tabular-nums}
.flow span{font-size:13px;color:var(--soft);display:block;line-height:1.4}
.big{font-size:17px}
details summary{cursor:pointer;color:var(--accent);font-size:14px;padding:8px 0}
code,pre{font:13.5px/1.5 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
pre{background:var(--track);border-radius:8px;padding:12px 14px;overflow-x:auto;margin:8px 0 0}
dl{display:grid;grid-template-columns:minmax(8em,max-content) 1fr;gap:8px 20px;margin:8px 0;font-size:15px}
dt{color:var(--soft)} dd{margin:0;min-width:0}
@media (max-width:560px){main{padding:0 12px 40px} section{padding:16px;border-radius:10px} header{padding-top:28px}
.meaning{display:none} svg{font-size:14px}
svg .tick,svg .axis{font-size:14px} th,td{padding-right:9px} .meter{min-width:44px}
.wide{min-width:9em} dl{grid-template-columns:1fr;gap:0} dd{margin-bottom:8px}}
@media print{:root{color-scheme:light;--page:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#ccc;--track:#eee;
--accent:#2f63c9;--right:#1c8a62;--wrong:#cf4a35;--on:#fff;--trivial:#b4690e;
--warn:#fdf4e3;--warn-line:#e5b567} body{font-size:11pt} nav,input[type=range]{display:none}
section{break-inside:avoid;border:0;border-top:1px solid #ccc;border-radius:0;padding:14px 0} .long{break-inside:auto}
.scroll{overflow:visible} *{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

# Reads the steps that the page carries as data and only ever sets text.
SCRIPT: Final = """
"use strict";
(() => {
  const box = document.getElementById("steps");
  if (!box) return;
  const steps = JSON.parse(box.dataset.steps), slider = box.querySelector("input");
  const show = () => {
    const step = steps[Number(slider.value)];
    for (const place of box.querySelectorAll("[data-key]")) place.textContent = step[place.dataset.key];
    slider.setAttribute("aria-valuetext", step.threshold);
  };
  slider.hidden = false;
  slider.addEventListener("input", show);
  show();
})();
"""

# By its hash, and no other, the page's policy lets it run.
SCRIPT_HASH: Final = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
