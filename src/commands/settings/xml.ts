/** Settings in XML: elements with an `id`, each on lines of its own, in a list two levels down (`settings/mirrors`). */
import type { Place, SettingName, Syntax } from './lines.ts';

interface Element {
  /** Names from the root, joined by slashes. */
  readonly path: string;
  /** Offsets: of the element, and of what is between its tags. */
  readonly from: number;
  readonly to: number;
  readonly innerFrom: number;
  readonly innerTo: number;
}

const tokens =
  /<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>|<\?[\s\S]*?\?>|<!DOCTYPE[^>[]*>|<(\/?)([\w:.-]+)(?:\s+[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*(\/?)>/g;

/** In the order in which they end. */
function elementsOf(text: string): Element[] {
  const found: Element[] = [];
  const open: { readonly name: string; readonly path: string; readonly from: number; readonly innerFrom: number }[] =
    [];
  if (text.replace(tokens, '').includes('<')) throw new Error('this is no XML that it understands');
  for (const { 0: tag, 1: slash, 2: name, 3: empty, index } of text.matchAll(tokens)) {
    if (name === undefined) continue;
    const end = index + tag.length;
    if (slash) {
      const start = open.pop();
      if (start?.name !== name) throw new Error(`</${name}> closes nothing`);
      const { path, from, innerFrom } = start;
      found.push({ path, from, to: end, innerFrom, innerTo: index });
      continue;
    }
    const path = [...open.map((one) => one.name), name].join('/');
    if (empty) found.push({ path, from: index, to: end, innerFrom: end, innerTo: end });
    else open.push({ name, path, from: index, innerFrom: end });
  }
  if (open.length > 0) throw new Error(`<${open.at(-1)?.name}> is not closed`);
  return found;
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length - 1;
}

function startsLine(text: string, offset: number): boolean {
  return text.slice(text.lastIndexOf('\n', offset - 1) + 1, offset).trim() === '';
}

function endsLine(text: string, offset: number): boolean {
  const end = text.indexOf('\n', offset);
  return text.slice(offset, end === -1 ? undefined : end).trim() === '';
}

function ownLines(text: string, name: string, starts: number, ends: number): void {
  if (startsLine(text, starts) && endsLine(text, ends)) return;
  throw new Error(`<${name}> shares a line with something else, which this does not understand`);
}

function split(key: string): [element: string, id: string] {
  const [element = '', id = ''] = key.split('#');
  return [element, id];
}

function idOf(text: string, element: Element, all: readonly Element[]): string | undefined {
  const id = all.find(
    ({ path, from, to }) => path === `${element.path}/id` && from >= element.innerFrom && to <= element.innerTo,
  );
  return id && text.slice(id.innerFrom, id.innerTo).trim();
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function place(lines: readonly string[], { table = '' }: SettingName): Place {
  const text = lines.join('\n');
  const all = elementsOf(text);
  const [root = '', list = ''] = table.split('/');
  const container = all.find(({ path }) => path === table);
  if (container) {
    if (container.innerFrom === container.to) throw new Error(`<${list}/> holds nothing; write it with two tags`);
    ownLines(text, list, container.from, container.innerFrom);
    // In front: of several that fit, the first one counts.
    return { at: lineAt(text, container.innerFrom) + 1 };
  }
  const around = { before: [`  <${list}>`], after: [`  </${list}>`] };
  const last = all.at(-1);
  if (last === undefined) {
    if (text.trim() !== '') throw new Error('there is text in it, but no element');
    return { at: lines.length, before: [`<${root}>`, ...around.before], after: [...around.after, `</${root}>`] };
  }
  if (last.path !== root) throw new Error(`it begins with <${last.path}>, not with <${root}>`);
  if (last.innerFrom === last.to) throw new Error(`<${root}/> holds nothing; write it with two tags`);
  if (!startsLine(text, last.innerTo)) throw new Error(`</${root}> does not stand on a line of its own`);
  return { at: lineAt(text, last.innerTo), ...around };
}

/** A list that has become empty, and the root if nothing else is in it. */
function dropEmpty(lines: string[], old: readonly string[]): void {
  for (;;) {
    const text = lines.join('\n');
    const empty = elementsOf(text).find(
      ({ path, from, innerFrom, innerTo, to }) =>
        path.split('/').length <= 2 &&
        to > innerFrom &&
        text.slice(innerFrom, innerTo).trim() === '' &&
        !old.includes(lines[lineAt(text, from)] ?? ''),
    );
    if (!empty) return;
    const at = lineAt(text, empty.from);
    lines.splice(at, lineAt(text, empty.to) - at + 1);
  }
}

export const xml: Syntax = {
  // Two hyphens would end it.
  comment: (text) => `<!-- ${text.replaceAll('--', '')} -->`,
  find(lines, { table, key }) {
    const text = lines.join('\n');
    const all = elementsOf(text);
    const [name, id] = split(key);
    const element = all.find((one) => one.path === `${table}/${name}` && idOf(text, one, all) === id);
    if (!element) return undefined;
    ownLines(text, name, element.from, element.to);
    return { from: lineAt(text, element.from), to: lineAt(text, element.to) + 1 };
  },
  print({ key, value }, there) {
    const [name, id] = split(key);
    const indent = /^\s*/.exec(there[0] ?? '    ')?.[0] ?? '';
    const inside = Object.entries({ id, ...(value as Readonly<Record<string, string>>) });
    return [
      `${indent}<${name}>`,
      ...inside.map(([tag, text]) => `${indent}  <${tag}>${escaped(text)}</${tag}>`),
      `${indent}</${name}>`,
    ];
  },
  place,
  read(lines, at) {
    const text = lines.join('\n');
    const all = elementsOf(text);
    const element = all.findLast(({ from }) => lineAt(text, from) === at);
    const id = element && idOf(text, element, all);
    if (!element || id === undefined) return undefined;
    const cut = element.path.lastIndexOf('/');
    return { table: element.path.slice(0, cut), key: `${element.path.slice(cut + 1)}#${id}` };
  },
  dropEmpty,
};
