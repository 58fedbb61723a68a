/** The syntaxes of clients' settings files, as far as single settings go. */
import type { EditedFile, Setting } from '../../core/client-setup.ts';
import type { Place, SettingName, Span, Syntax } from './lines.ts';
import { xml } from './xml.ts';

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}

function last(lines: readonly string[], pattern: RegExp, from = 0, to = lines.length): Span | undefined {
  for (let at = to - 1; at >= from; at--) if (pattern.test(lines[at] ?? '')) return { from: at, to: at + 1 };
  return undefined;
}

function named(pattern: RegExp, line: string | undefined): SettingName | undefined {
  const key = pattern.exec(line ?? '')?.[1];
  return key === undefined ? undefined : { key };
}

function firstSection(lines: readonly string[]): number {
  const at = lines.findIndex((line) => /^\s*\[/.test(line));
  return at === -1 ? lines.length : at;
}

/** Keys above all sections, as in `.npmrc`, where what comes after a heading is not read; or in the one that `table` names, as in `pip.conf`. */
const ini: Syntax = {
  find(lines, { table, key }) {
    const pattern = new RegExp(`^\\s*${escaped(key)}\\s*=`);
    if (table === undefined) return last(lines, pattern, 0, firstSection(lines));
    const heading = tableAt(lines, table);
    return heading === undefined ? undefined : last(lines, pattern, heading + 1, tableEnd(lines, heading));
  },
  print: ({ table, key, value }) => [table === undefined ? `${key}=${String(value)}` : `${key} = ${String(value)}`],
  place: (lines, { table }) => (table === undefined ? { at: firstSection(lines) } : placeInTable(lines, table)),
  read(lines, at) {
    const found = named(/^\s*([^=]+?)\s*=/, lines[at]);
    const table = tableAround(lines, at);
    return found && table !== undefined ? { ...found, table } : found;
  },
  dropEmpty: dropHeadings,
};

/** Yarn 1: a key, a blank, a value in quotes. */
const yarnrc: Syntax = {
  find: (lines, { key }) => last(lines, new RegExp(`^"?${escaped(key)}"?\\s`)),
  print: ({ key, value }) => [`${key} ${JSON.stringify(value)}`],
  place: (lines) => ({ at: lines.length }),
  read: (lines, at) => named(/^"?([^"\s]+)"?\s/, lines[at]),
};

/** Keys at the top level only. A list may stand on one line or on several. */
const yaml: Syntax = {
  find(lines, { key }) {
    const head = last(lines, new RegExp(`^(${escaped(key)}|"${escaped(key)}"|'${escaped(key)}')\\s*:(\\s|$)`));
    if (!head) return undefined;
    return { from: head.from, to: blockEnd(lines, head.from) };
  },
  print({ key, value }, there) {
    if (!Array.isArray(value)) return [`${key}: ${JSON.stringify(value)}`];
    const quoted = (items: readonly string[]): string[] => items.map((item) => JSON.stringify(item));
    const missing = quoted(value.filter((item: string) => !mentions(there, item)));
    const [head] = there;
    if (head === undefined) return [`${key}:`, ...quoted(value).map((item) => `  - ${item}`)];
    if (missing.length === 0) return there;
    const flow = /^(.*\[)(.*)(\]\s*(?:#.*)?)$/.exec(head);
    if (there.length === 1 && flow) {
      const inside = flow[2]?.trim() ?? '';
      return [`${flow[1]}${[...(inside === '' ? [] : [inside]), ...missing].join(', ')}${flow[3]}`];
    }
    const indent = /^(\s*)-/.exec(there.at(-1) ?? '')?.[1];
    if (there.length === 1 || indent === undefined)
      throw new Error(`${key} is written in a way this does not understand`);
    return [...there, ...missing.map((item) => `${indent}- ${item}`)];
  },
  place: (lines) => ({ at: lines.length }),
  // Ruby's symbols are keys that begin with a colon.
  read: (lines, at) => named(/^["']?(:?[^\s"':]+)["']?\s*:(?:\s|$)/, lines[at]),
};

/** What is indented below a key belongs to it, and so does a list that is not indented. */
function blockEnd(lines: readonly string[], head: number): number {
  let to = head + 1;
  while (/^(\s+\S|-\s)/.test(lines[to] ?? '')) to++;
  return to;
}

function mentions(lines: readonly string[], item: string): boolean {
  const text = lines.join('\n');
  return new RegExp(`[\\s,["'-]${escaped(item)}(?=["'\\s,\\]]|$)`).test(text);
}

/** Keys in a table; inline tables and lists on one line. */
const toml: Syntax = {
  find(lines, { table = '', key }) {
    if (lines.some((line) => new RegExp(`^\\s*\\[\\s*${escaped(table)}\\.${escaped(key)}\\s*\\]`).test(line))) {
      throw new Error(`[${table}.${key}] is a table of its own, which this does not understand`);
    }
    const heading = tableAt(lines, table);
    if (heading === undefined) return undefined;
    return last(lines, new RegExp(`^\\s*"?${escaped(key)}"?\\s*=`), heading + 1, tableEnd(lines, heading));
  },
  print({ key, value }, there) {
    if (!Array.isArray(value)) return [`${key} = ${tomlValue(value)}`];
    const missing = value.filter((item: string) => !mentions(there, item)).map((item) => JSON.stringify(item));
    const [line] = there;
    if (line === undefined) return [`${key} = [${missing.join(', ')}]`];
    if (missing.length === 0) return there;
    const flow = /^([^[]*\[)(.*)(\]\s*(?:#.*)?)$/.exec(line);
    if (!flow) throw new Error(`${key} is written in a way this does not understand`);
    const inside = flow[2]?.trim() ?? '';
    // In front: of mirrors the first one is asked first.
    return [`${flow[1]}${[...missing, ...(inside === '' ? [] : [inside])].join(', ')}${flow[3]}`];
  },
  place: (lines, { table = '' }) => placeInTable(lines, table),
  read(lines, at) {
    const found = named(/^\s*"?([^"=\s]+)"?\s*=/, lines[at]);
    const table = tableAround(lines, at);
    return found && table !== undefined ? { ...found, table } : found;
  },
  dropEmpty: dropHeadings,
};

function isHeading(line: string): boolean {
  return /^\s*\[/.test(line);
}

/** A heading that came with a setting goes with it, and so does the empty line before it. */
function dropHeadings(lines: string[], old: readonly string[]): void {
  for (let at = lines.length - 1; at >= 0; at--) {
    const heading = lines[at] ?? '';
    if (!isHeading(heading) || old.includes(heading)) continue;
    const next = lines.findIndex((line, after) => after > at && isHeading(line));
    const body = lines.slice(at + 1, next === -1 ? lines.length : next);
    if (body.some((line) => line.trim() !== '')) continue;
    const gap = at > 0 && lines[at - 1]?.trim() === '' && next === -1 ? 1 : 0;
    lines.splice(at - gap, 1 + gap + body.length);
  }
}

/** Directly below its heading, or with one at the end. */
function placeInTable(lines: readonly string[], table: string): Place {
  const heading = tableAt(lines, table);
  if (heading !== undefined) return { at: heading + 1 };
  const gap = lines.length > 0 && lines.at(-1)?.trim() !== '' ? [''] : [];
  return { at: lines.length, before: [...gap, `[${table}]`] };
}

/** The name of the table that a line stands in. */
function tableAround(lines: readonly string[], at: number): string | undefined {
  const above = lines.slice(0, at).findLast((line) => /^\s*\[/.test(line));
  return /^\s*\[\s*([^\]\s]+)\s*\]/.exec(above ?? '')?.[1];
}

function tableAt(lines: readonly string[], table: string): number | undefined {
  const at = lines.findIndex((line) => new RegExp(`^\\s*\\[\\s*${escaped(table)}\\s*\\]`).test(line));
  return at === -1 ? undefined : at;
}

function tableEnd(lines: readonly string[], heading: number): number {
  const next = lines.findIndex((line, at) => at > heading && /^\s*\[/.test(line));
  return next === -1 ? lines.length : next;
}

function tomlValue(value: Setting['value']): string {
  if (typeof value !== 'object') return JSON.stringify(value);
  const pairs = Object.entries(value).map(([key, inner]) => `${key} = ${JSON.stringify(inner)}`);
  return `{ ${pairs.join(', ')} }`;
}

/** The ones that are changed by the line. */
export const syntaxes: Readonly<Record<Exclude<EditedFile['syntax'], 'json'>, Syntax>> = {
  ini,
  yarnrc,
  yaml,
  toml,
  xml,
};
