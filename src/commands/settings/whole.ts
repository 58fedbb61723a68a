/** Files that are there for Larder alone. Their first line says so, and tells what was written from what was changed since. */
import { createHash } from 'node:crypto';
import type { OwnFile } from '../../core/client-setup.ts';
import { markText, type Undone } from './lines.ts';

function sum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function firstLine(comment: OwnFile['comment'], text: string): string {
  return `${comment} ${markText}; as written: ${sum(text)}\n`;
}

type Whose = 'ours' | 'changed' | 'theirs';

function whose(text: string, { comment }: OwnFile): Whose {
  const [first = ''] = text.split('\n', 1);
  if (!first.startsWith(`${comment} ${markText}`)) return 'theirs';
  const rest = text.slice(first.length + 1);
  return `${first}\n` === firstLine(comment, rest) ? 'ours' : 'changed';
}

/** The whole file; throws if somebody else has written or changed it. */
export function withWhole(text: string | undefined, file: OwnFile): string {
  const wanted = `${firstLine(file.comment, file.text)}${file.text}`;
  if (text === undefined || text.trim() === '' || text === wanted) return wanted;
  if (text === file.text) return text;
  switch (whose(text, file)) {
    case 'ours':
      return wanted;
    case 'changed':
      throw new Error('it was changed since larder setup wrote it');
    case 'theirs':
      throw new Error('there is one already that larder setup has not written');
  }
}

/** Nothing, unless it was changed or is somebody else's. */
export function withoutWhole(text: string, before: string | undefined, file: OwnFile): Undone {
  switch (whose(text, file)) {
    case 'ours':
      return { text: before ?? '', kept: [] };
    case 'changed':
      return { text, kept: ['it'] };
    case 'theirs':
      return { text, kept: [] };
  }
}
