/** Lists in JSON's outermost object. It has no comments, so nothing is marked: what was written is kept beside the file instead. */
import type { Setting } from '../../core/client-setup.ts';
import type { Undone } from './lines.ts';

interface Member {
  readonly key: string;
  readonly keyFrom: number;
  /** Offsets of its value. */
  readonly from: number;
  readonly to: number;
}

function membersOf(text: string): Member[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('it is no JSON, or has comments in it');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('it is no JSON object');
  const found: Member[] = [];
  let depth = 0;
  let key: { readonly name: string; readonly at: number } | undefined;
  let from: number | undefined;
  let end = 0;
  const close = (): void => {
    if (key && from !== undefined) found.push({ key: key.name, keyFrom: key.at, from, to: end });
    key = undefined;
    from = undefined;
  };
  // What is valid falls apart into these and white space.
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s"[\]{},:]+/g)) {
    if (token === '}' || token === ']') depth--;
    if (depth === 0 && token === '}') close();
    else if (depth === 1 && token === ',') close();
    else if (depth === 1 && !key) key = { name: JSON.parse(token) as string, at: index };
    else if (depth >= 1 && token !== ':' && from === undefined) from = index;
    if (token === '{' || token === '[') depth++;
    end = index + token.length;
  }
  return found;
}

function listOf(text: string, { key, from, to }: Member): string[] {
  const value = JSON.parse(text.slice(from, to)) as unknown;
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw new Error(`${key} is no list of texts`);
}

function printed(items: readonly string[]): string {
  return `[${items.map((item) => JSON.stringify(item)).join(', ')}]`;
}

function wanted({ key, value }: Setting): readonly string[] {
  if (typeof value === 'object' && Array.isArray(value)) return value;
  throw new Error(`${key} is no list`);
}

function spliced(text: string, from: number, to: number, instead: string): string {
  return text.slice(0, from) + instead + text.slice(to);
}

function withMember(text: string, key: string, value: string): string {
  const members = membersOf(text);
  const last = members.at(-1);
  const line = `${JSON.stringify(key)}: ${value}`;
  if (!last) return text.replace(/\{\s*\}/, () => `{\n  ${line}\n}`);
  const gap = /\s*$/.exec(text.slice(0, last.keyFrom))?.[0] ?? '';
  return spliced(text, last.to, last.to, `,${gap === '' ? ' ' : gap}${line}`);
}

function withoutMember(text: string, key: string): string {
  const members = membersOf(text);
  const at = members.findIndex((member) => member.key === key);
  const member = members[at];
  if (!member) return text;
  const before = members[at - 1];
  const after = members[at + 1];
  if (before) return spliced(text, before.to, member.to, '');
  if (after) return spliced(text, member.keyFrom, after.keyFrom, '');
  return text.replace(/\{[\s\S]*\}/, '{}');
}

/** The text with the settings in it, in front of what their lists hold; the same text if they are there already. */
export function withLists(text: string, settings: readonly Setting[]): string {
  let now = text.trim() === '' && settings.length > 0 ? '{}\n' : text;
  for (const setting of settings) {
    const member = now.trim() === '' ? undefined : membersOf(now).find(({ key }) => key === setting.key);
    if (!member) {
      now = withMember(now, setting.key, printed(wanted(setting)));
      continue;
    }
    const there = listOf(now, member);
    const missing = wanted(setting).filter((item) => !there.includes(item));
    if (missing.length > 0) now = spliced(now, member.from, member.to, printed([...missing, ...there]));
  }
  return now;
}

/**
 * The text without what `written` added to `before`; what has been added since stays. `before` is the whole text from
 * before, `undefined` if there was none.
 */
export function withoutLists(text: string, before: string | undefined, written: string): Undone {
  const old = before === undefined || before.trim() === '' ? '{}' : before;
  if (text === written) return { text: before ?? '', kept: [] };
  let now = text;
  const kept: string[] = [];
  for (const ours of membersOf(written)) {
    const was = membersOf(old).find(({ key }) => key === ours.key);
    const oldRaw = was && old.slice(was.from, was.to);
    if (oldRaw === written.slice(ours.from, ours.to)) continue;
    const member = membersOf(now).find(({ key }) => key === ours.key);
    if (!member) continue;
    const items = was ? listOf(old, was) : [];
    const added = listOf(written, ours).filter((item) => !items.includes(item));
    let there: string[];
    try {
      there = listOf(now, member);
    } catch {
      kept.push(ours.key);
      continue;
    }
    const rest = there.filter((item) => !added.includes(item));
    if (rest.length === there.length) continue;
    if (was && JSON.stringify(rest) === JSON.stringify(items)) now = spliced(now, member.from, member.to, oldRaw ?? '');
    else if (!was && rest.length === 0) now = withoutMember(now, ours.key);
    else now = spliced(now, member.from, member.to, printed(rest));
  }
  return { text: before === undefined && membersOf(now).length === 0 ? '' : now, kept };
}
