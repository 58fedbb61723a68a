/** Pages without scripts: text that cannot become markup, one style sheet, and headers that let nothing else in. */
import { createHash } from 'node:crypto';
import type { Context } from 'koa';

/** Markup that was made here, as opposed to text. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Value = Html | string | number | undefined | false | readonly Html[];

const marks: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function shown(value: Value): string {
  if (value instanceof Html) return value.text;
  if (value === undefined || value === false) return '';
  if (typeof value === 'object') return value.map((one) => one.text).join('');
  return String(value).replace(/[&<>"']/g, (mark) => marks[mark] ?? mark);
}

/** Everything put in is escaped, unless it is markup itself. */
export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(strings.map((text, index) => `${text}${index < values.length ? shown(values[index]) : ''}`).join(''));
}

const style = `
:root { color-scheme: light dark; --ink: #1d2733; --dim: #5b6877; --paper: #f4f5f7; --card: #fff; --line: #d5dae0; --act: #0b5cad; --on-act: #fff; --bad: #a8201a; --bad-paper: #fdecea; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --dim: #9aa7b5; --paper: #12171d; --card: #1b222b; --line: #36404c; --act: #6cb2f5; --on-act: #0d1620; --bad: #ff9c94; --bad-paper: #3a1d1b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
header { padding: 1.25rem 1.5rem; font-weight: 600; letter-spacing: .01em; }
main { width: min(30rem, 100% - 2rem); margin: 3vh auto 4rem; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem; }
main.wide { width: min(64rem, 100% - 2rem); }
h1 { margin: 0 0 .5rem; font-size: 1.4rem; line-height: 1.25; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
p { margin: .5rem 0; }
.dim { color: var(--dim); }
label { display: block; margin: 1rem 0 .25rem; font-weight: 600; }
input { width: 100%; padding: .6rem .75rem; font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: .5rem; }
input:focus-visible, button:focus-visible, a:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
button, a.button { display: block; width: 100%; margin-top: 1.25rem; padding: .65rem 1rem; font: inherit; font-weight: 600; text-align: center; text-decoration: none; cursor: pointer; color: var(--on-act); background: var(--act); border: 1px solid var(--act); border-radius: .5rem; }
button.quiet, a.quiet { color: var(--act); background: transparent; }
button.small { display: inline-block; width: auto; margin: 0; padding: .3rem .7rem; }
a { color: var(--act); }
.bad { margin: 1rem 0; padding: .6rem .8rem; color: var(--bad); background: var(--bad-paper); border-radius: .5rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .3rem 1rem; margin: 1rem 0; }
dt { color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; }
hr { margin: 1.75rem 0 .5rem; border: 0; border-top: 1px solid var(--line); }
.rows { display: flex; gap: 1rem; }
.rows form { flex: 1; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .93rem; }
th, td { padding: .5rem .75rem .5rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.free { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
th { color: var(--dim); font-weight: 600; }
code { font: .93em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
@media (max-width: 48rem) {
  main { padding: 1.25rem; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { display: block; padding: .75rem 0; border-bottom: 1px solid var(--line); }
  td { display: block; padding: .15rem 0; border: 0; white-space: normal; }
  td[data-label]::before { content: attr(data-label) ": "; color: var(--dim); }
  td form { margin-top: .5rem; }
}
.bar { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; flex-wrap: wrap; }
`;

const styleHash = createHash('sha256').update(style).digest('base64');

/** No scripts, nothing of others, no frames; forms come back here. */
const policy = [
  "default-src 'none'",
  `style-src 'sha256-${styleHash}'`,
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ');

export interface Page {
  readonly title: string;
  readonly body: Html;
  readonly status?: number;
  readonly wide?: boolean;
}

export function answerPage(ctx: Context, { title, body, status = 200, wide }: Page): void {
  ctx.status = status;
  ctx.set('content-type', 'text/html; charset=utf-8');
  ctx.set('content-security-policy', policy);
  ctx.set('cache-control', 'no-store');
  ctx.set('referrer-policy', 'no-referrer');
  ctx.set('x-content-type-options', 'nosniff');
  ctx.set('x-frame-options', 'DENY');
  ctx.body = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title} · Larder</title>
<style>${new Html(style)}</style>
</head>
<body>
<header>Larder</header>
<main${wide ? new Html(' class="wide"') : ''}>
${body}
</main>
</body>
</html>
`.text;
}
