/** How each syntax of settings files is changed, behind one face. */
import type { SettingsFile } from '../../core/client-setup.ts';
import { withLists, withoutLists } from './json.ts';
import { isMarked, printed, type Undone, withoutSettings, withSettings } from './lines.ts';
import { syntaxes } from './syntaxes.ts';
import { withoutWhole, withWhole } from './whole.ts';

/** What is kept beside a settings file. */
export interface Kept {
  /** The file as it was before the first change; absent if there was none. */
  readonly before?: string;
  /** As it was written last, where nothing in the file can say so. */
  readonly written?: string;
}

export interface Editor {
  /** Nothing can be marked in such files, so the file as written is kept too. */
  readonly keepsWritten: boolean;
  /** Just the settings. */
  readonly print: () => string;
  /** The same text if they are there already; throws what is not understood. */
  readonly put: (text: string | undefined, kept: Kept) => string;
  readonly takeBack: (text: string, kept: Kept) => Undone;
  /** Whether something in it is ours already. */
  readonly isOurs: (text: string, kept: Kept) => boolean;
}

export function editorOf(file: SettingsFile): Editor {
  switch (file.syntax) {
    case 'whole':
      return {
        keepsWritten: false,
        print: () => file.text,
        put: (text) => withWhole(text, file),
        takeBack: (text, { before }) => withoutWhole(text, before, file),
        isOurs: isMarked,
      };
    case 'json': {
      const without = (text: string, { before, written }: Kept): Undone =>
        withoutLists(text, before, written ?? withLists(before ?? '', file.settings));
      return {
        keepsWritten: true,
        print: () => withLists('', file.settings),
        put(text, kept) {
          // Once more with another address: what was written for the one before goes.
          const base = kept.written === undefined || text === undefined ? text : without(text, kept).text;
          return withLists(base ?? '', file.settings);
        },
        takeBack: without,
        isOurs: (_, { written }) => written !== undefined,
      };
    }
    case 'ini':
    case 'yarnrc':
    case 'yaml':
    case 'toml':
    case 'xml': {
      const { [file.syntax]: syntax } = syntaxes;
      return {
        keepsWritten: false,
        print: () => printed(syntax, file.settings),
        put: (text) => withSettings(text ?? '', syntax, file.settings),
        takeBack: (text, { before }) => withoutSettings(text, before, syntax, file.settings),
        isOurs: isMarked,
      };
    }
  }
}
