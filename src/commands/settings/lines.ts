/** Changes single settings in a client's file and leaves every other line as it is. */
import type { Setting } from '../../core/client-setup.ts';

/** What a file's syntax has to know about one setting. */
export interface Syntax {
  /** The lines it takes: of several, the one that counts. */
  find(lines: readonly string[], name: SettingName): Span | undefined;
  /** The setting that begins on this line. */
  read(lines: readonly string[], at: number): SettingName | undefined;
  /** Its lines anew. */
  print(setting: Setting, there: readonly string[]): readonly string[];
  /** Where it goes if it is not there: before which line, and what else is needed there. */
  place(lines: readonly string[], setting: Setting): { readonly at: number; readonly before?: readonly string[] };
  /** Whether a line only says where others belong. */
  isHeading(line: string): boolean;
}

export type SettingName = Pick<Setting, 'table' | 'key'>;

export interface Span {
  readonly from: number;
  readonly to: number;
}

const mark = '# set by larder setup, which takes it back with --undo';

/** Whether something in it is ours already. */
export function isMarked(text: string): boolean {
  return text.includes(mark);
}

interface Text {
  readonly lines: readonly string[];
  readonly lineBreak: string;
  /** Whether the last line is ended. */
  readonly ended: boolean;
}

function split(text: string): Text {
  const lineBreak = text.includes('\r\n') ? '\r\n' : '\n';
  const ended = text === '' || text.endsWith('\n');
  const lines = text.split(/\r?\n/);
  if (ended) lines.pop();
  return { lines, lineBreak, ended };
}

function join({ lines, lineBreak, ended }: Text): string {
  if (lines.length === 0) return '';
  return lines.join(lineBreak) + (ended ? lineBreak : '');
}

/** The text with the settings in it; the same text if they are there already. */
export function withSettings(text: string, syntax: Syntax, settings: readonly Setting[]): string {
  const parts = split(text);
  const lines = [...parts.lines];
  let changed = false;
  for (const setting of settings) {
    const span = syntax.find(lines, setting);
    const there = span ? lines.slice(span.from, span.to) : [];
    const wanted = syntax.print(setting, there);
    if (span && same(there, wanted)) continue;
    changed = true;
    if (span) {
      const marked = lines[span.from - 1]?.trim() === mark;
      lines.splice(span.from, span.to - span.from, ...(marked ? [] : [mark]), ...wanted);
    } else {
      const { at, before = [] } = syntax.place(lines, setting);
      lines.splice(at, 0, ...before, mark, ...wanted);
    }
  }
  return changed ? join({ ...parts, lines, ended: true }) : text;
}

export interface Undone {
  readonly text: string;
  /** Settings somebody else has changed since. */
  readonly kept: readonly string[];
}

/**
 * The text as it was before, as far as these settings go: where they are marked, whatever their values, and where they
 * say what `settings` say, because some clients write their files anew without comments. `before` is the whole text
 * from then, `undefined` if there was none.
 */
export function withoutSettings(
  text: string,
  before: string | undefined,
  syntax: Syntax,
  settings: readonly Setting[],
): Undone {
  const parts = split(text);
  const old = split(before ?? '').lines;
  const lines = [...parts.lines];
  const kept: string[] = [];
  for (const name of [...settings, ...markedIn(lines, syntax, settings)]) {
    const span = syntax.find(lines, name);
    if (!span) continue;
    const was = syntax.find(old, name);
    const previous = was ? old.slice(was.from, was.to) : [];
    const there = lines.slice(span.from, span.to);
    const marked = lines[span.from - 1]?.trim() === mark;
    if (!marked && same(there, previous)) continue;
    const setting = settings.find(({ table, key }) => table === name.table && key === name.key);
    const ours = setting !== undefined && same(there, syntax.print(setting, previous));
    // A list may have become longer since; which of it to take back is not ours to guess.
    if (!ours && (!marked || Array.isArray(setting?.value))) {
      if (!kept.includes(name.key)) kept.push(name.key);
      continue;
    }
    const from = marked ? span.from - 1 : span.from;
    lines.splice(from, span.to - from, ...previous);
  }
  dropHeadings(lines, old, syntax);
  if (before !== undefined && same(lines, old)) return { text: before, kept };
  const empty = before === undefined && lines.every((line) => line.trim() === '');
  return { text: empty ? '' : join({ ...parts, lines }), kept };
}

function markedIn(lines: readonly string[], syntax: Syntax, settings: readonly Setting[]): SettingName[] {
  return lines.flatMap((line, at) => {
    const name = line.trim() === mark ? syntax.read(lines, at + 1) : undefined;
    return name !== undefined && settings.some(({ key }) => withoutAddress(key) === withoutAddress(name.key))
      ? [name]
      : [];
  });
}

/** Some keys begin with the address they are for, which may have been another one. */
function withoutAddress(key: string): string {
  return key.replace(/^\/\/.*:/, '//:');
}

/** A heading that came with a setting goes with it, and so does the empty line before it. */
function dropHeadings(lines: string[], old: readonly string[], syntax: Syntax): void {
  for (let at = lines.length - 1; at >= 0; at--) {
    const heading = lines[at] ?? '';
    if (!syntax.isHeading(heading) || old.includes(heading)) continue;
    const next = lines.findIndex((line, after) => after > at && syntax.isHeading(line));
    const body = lines.slice(at + 1, next === -1 ? lines.length : next);
    if (body.some((line) => line.trim() !== '')) continue;
    const gap = at > 0 && lines[at - 1]?.trim() === '' && next === -1 ? 1 : 0;
    lines.splice(at - gap, 1 + gap + body.length);
  }
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((line, index) => line === b[index]);
}

/** Just the settings, for printing. */
export function printed(syntax: Syntax, settings: readonly Setting[]): string {
  const lines: string[] = [];
  for (const setting of settings) {
    const { at, before = [] } = syntax.place(lines, setting);
    lines.splice(at, 0, ...before, ...syntax.print(setting, []));
  }
  return lines.map((line) => `${line}\n`).join('');
}
