/** The syntaxes of clients' settings files, as far as single settings go. */
import type { Setting, SettingsFile } from '../../core/client-setup.ts';
import type { SettingName, Span, Syntax } from './lines.ts';

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

/** `.npmrc`: what comes after a section's heading is not read. */
const ini: Syntax = {
  find: (lines, { key }) => last(lines, new RegExp(`^\\s*${escaped(key)}\\s*=`), 0, firstSection(lines)),
  print: ({ key, value }) => [`${key}=${String(value)}`],
  place: (lines) => ({ at: firstSection(lines) }),
  read: (lines, at) => named(/^\s*([^=]+?)\s*=/, lines[at]),
  isHeading: () => false,
};

/** Yarn 1: a key, a blank, a value in quotes. */
const yarnrc: Syntax = {
  find: (lines, { key }) => last(lines, new RegExp(`^"?${escaped(key)}"?\\s`)),
  print: ({ key, value }) => [`${key} ${JSON.stringify(value)}`],
  place: (lines) => ({ at: lines.length }),
  read: (lines, at) => named(/^"?([^"\s]+)"?\s/, lines[at]),
  isHeading: () => false,
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
  read: (lines, at) => named(/^["']?([^\s"':]+)["']?\s*:(?:\s|$)/, lines[at]),
  isHeading: () => false,
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

/** Keys in a table; inline tables on one line. */
const toml: Syntax = {
  find(lines, { table = '', key }) {
    if (lines.some((line) => new RegExp(`^\\s*\\[\\s*${escaped(table)}\\.${escaped(key)}\\s*\\]`).test(line))) {
      throw new Error(`[${table}.${key}] is a table of its own, which this does not understand`);
    }
    const heading = tableAt(lines, table);
    if (heading === undefined) return undefined;
    return last(lines, new RegExp(`^\\s*"?${escaped(key)}"?\\s*=`), heading + 1, tableEnd(lines, heading));
  },
  print: ({ key, value }) => [`${key} = ${tomlValue(value)}`],
  place(lines, { table = '' }) {
    const heading = tableAt(lines, table);
    if (heading !== undefined) return { at: heading + 1 };
    const gap = lines.length > 0 && lines.at(-1)?.trim() !== '' ? [''] : [];
    return { at: lines.length, before: [...gap, `[${table}]`] };
  },
  read(lines, at) {
    const found = named(/^\s*"?([^"=\s]+)"?\s*=/, lines[at]);
    const above = lines.slice(0, at).findLast((line) => /^\s*\[/.test(line));
    const table = /^\s*\[\s*([^\]\s]+)\s*\]/.exec(above ?? '')?.[1];
    return found && table !== undefined ? { ...found, table } : found;
  },
  isHeading: (line) => /^\s*\[/.test(line),
};

function tableAt(lines: readonly string[], table: string): number | undefined {
  const at = lines.findIndex((line) => new RegExp(`^\\s*\\[\\s*${escaped(table)}\\s*\\]`).test(line));
  return at === -1 ? undefined : at;
}

function tableEnd(lines: readonly string[], heading: number): number {
  const next = lines.findIndex((line, at) => at > heading && /^\s*\[/.test(line));
  return next === -1 ? lines.length : next;
}

function tomlValue(value: Setting['value']): string {
  if (typeof value !== 'object' || Array.isArray(value)) return JSON.stringify(value);
  const pairs = Object.entries(value).map(([key, inner]) => `${key} = ${JSON.stringify(inner)}`);
  return `{ ${pairs.join(', ')} }`;
}

export const syntaxes: Readonly<Record<SettingsFile['syntax'], Syntax>> = { ini, yarnrc, yaml, toml };
