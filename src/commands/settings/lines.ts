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
  /** Where it goes if it is not there: before which line, and what else is needed around it. */
  place(lines: readonly string[], setting: Setting): Place;
  /** Takes out what only said where settings belong that are gone, unless `old` had it. */
  dropEmpty?(lines: string[], old: readonly string[]): void;
  /** A comment of one line; with a number sign in front if absent. */
  comment?(text: string): string;
}

export interface Place {
  readonly at: number;
  readonly before?: readonly string[];
  readonly after?: readonly string[];
}

export type SettingName = Pick<Setting, 'table' | 'key'>;

export interface Span {
  readonly from: number;
  readonly to: number;
}

const owner = 'set by larder setup,';

/** Says whose it is. */
export const markText = `${owner} which takes it back with --undo`;

function markOf(syntax: Syntax): string {
  return syntax.comment?.(markText) ?? `# ${markText}`;
}

/** Whether something in it is ours already. */
export function isMarked(text: string): boolean {
  return text.includes(owner);
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
  const mark = markOf(syntax);
  let changed = false;
  for (const setting of settings) {
    const span = syntax.find(lines, setting);
    const there = span ? lines.slice(span.from, span.to) : [];
    const wanted = syntax.print(setting, there);
    if (span && same(there, wanted)) continue;
    changed = true;
    const indented = `${/^\s*/.exec(wanted[0] ?? '')}${mark}`;
    if (span) {
      const marked = lines[span.from - 1]?.trim() === mark;
      lines.splice(span.from, span.to - span.from, ...(marked ? [] : [indented]), ...wanted);
    } else {
      const { at, before = [], after = [] } = syntax.place(lines, setting);
      lines.splice(at, 0, ...before, indented, ...wanted, ...after);
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
  const mark = markOf(syntax);
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
  syntax.dropEmpty?.(lines, old);
  if (before !== undefined && same(lines, old)) return { text: before, kept };
  const empty = before === undefined && lines.every((line) => line.trim() === '');
  return { text: empty ? '' : join({ ...parts, lines }), kept };
}

function markedIn(lines: readonly string[], syntax: Syntax, settings: readonly Setting[]): SettingName[] {
  return lines.flatMap((line, at) => {
    const name = line.trim() === markOf(syntax) ? syntax.read(lines, at + 1) : undefined;
    return name !== undefined && settings.some(({ key }) => withoutAddress(key) === withoutAddress(name.key))
      ? [name]
      : [];
  });
}

/** Some keys begin with the address they are for, which may have been another one. */
function withoutAddress(key: string): string {
  return key.replace(/^\/\/.*:/, '//:');
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((line, index) => line === b[index]);
}

/** Just the settings, for printing. */
export function printed(syntax: Syntax, settings: readonly Setting[]): string {
  const lines: string[] = [];
  for (const setting of settings) {
    const { at, before = [], after = [] } = syntax.place(lines, setting);
    lines.splice(at, 0, ...before, ...syntax.print(setting, []), ...after);
  }
  return lines.map((line) => `${line}\n`).join('');
}
