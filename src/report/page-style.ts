/** The page's style sheet: system fonts, one column, tables that scroll by themselves, black on white in print. */
export const PAGE_CSS = `
*{box-sizing:border-box}
body{margin:0;background:var(--surface);color:var(--ink);font:16px/1.55 var(--font)}
main{max-width:940px;margin:0 auto;padding:40px 24px 80px}
h1{font-size:1.75rem;line-height:1.2;margin:0}
h2{font-size:1.3rem;line-height:1.3;margin:56px 0 12px;padding-top:16px;border-top:1px solid var(--line)}
p{margin:12px 0;max-width:74ch}
.subtitle{color:var(--muted);margin:6px 0 0}
.verdict{font-size:1.15rem;line-height:1.5;margin:28px 0 16px;padding:16px 20px;border-left:4px solid var(--arm-1);background:color-mix(in srgb,var(--arm-1) 9%,var(--surface));border-radius:0 6px 6px 0;max-width:none}
.banner{padding:12px 20px;border-left:4px solid var(--arm-2);background:color-mix(in srgb,var(--arm-2) 11%,var(--surface));border-radius:0 6px 6px 0;max-width:none}
nav ul{display:flex;flex-wrap:wrap;gap:4px 18px;padding:0;margin:20px 0 0;list-style:none}
a{color:var(--arm-1)}
.scroll{overflow-x:auto}
figure{margin:24px 0}
figcaption{font-weight:600;margin-bottom:4px}
svg{display:block;max-width:100%;min-width:700px;height:auto}
table{border-collapse:collapse;margin:20px 0;font-size:.875rem;font-variant-numeric:tabular-nums;min-width:60%}
caption{text-align:left;font-weight:600;font-size:1rem;padding-bottom:6px}
th,td{padding:5px 14px 5px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{color:var(--muted);font-weight:600;vertical-align:bottom}
tbody th{font-weight:400;color:var(--ink);min-width:7em}
.n{text-align:right}
td.n{white-space:nowrap}
td code{overflow-wrap:anywhere}
.total th,.total td{font-weight:600;border-top:2px solid var(--muted);border-bottom:0}
code{font:.92em ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace}
pre{padding:14px 18px;background:color-mix(in srgb,var(--ink) 6%,var(--surface));border-radius:6px;overflow-x:auto}
details{margin:16px 0}
summary{cursor:pointer;color:var(--arm-1);font-weight:600}
@media print{
  body{font-size:10.5pt}
  main{max-width:none;padding:0}
  nav{display:none}
  h2{break-after:avoid}
  figure,tr,.verdict,.banner{break-inside:avoid}
  details::details-content{content-visibility:visible;height:auto}
  svg{min-width:0}
  .scroll{overflow:visible}
  table{font-size:7.5pt}
  th,td{padding:3px 7px 3px 0;overflow-wrap:anywhere}
  tbody th{min-width:0}
  td.n{white-space:normal}
}
`;
