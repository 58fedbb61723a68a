/** A plain list of images, one reference per line, each with `--platform=…` in front of it or without. */
import { type Contents, linesOf } from './contents.ts';
import { imageFinding, tagsMove } from './image-reference.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';

interface Line {
  readonly number: number;
  readonly reference: string;
  readonly platform: string | undefined;
}

function* lines(contents: Contents): Iterable<Line> {
  for (const { number, text } of linesOf(contents)) {
    const line = text.replace(/(?:^|\s)#.*$/, '').trim();
    if (line === '') continue;
    const [, platform, reference = line] = /^--platform[= ]+(\S+)\s+(.*)$/.exec(line) ?? [];
    yield { number, reference, platform };
  }
}

export const imageList: Kind = {
  id: 'image-list',
  names: ['images.txt', '*.images'],
  isNamed: ({ name }) => /^(?:.*[-_.])?images?(?:[-_.]list)?\.(?:txt|list)$|\.images$/i.test(name),
  looksLike: (contents) => {
    let isTelling = false;
    for (const { number, reference, platform } of lines(contents)) {
      if (number > 1000) break;
      if (imageFinding(reference, platform, '') === undefined) return false;
      isTelling ||= /[/:@]/.test(reference);
    }
    return isTelling;
  },
  read: (contents, findings) => {
    let count = 0;
    for (const { number, reference, platform } of lines(contents)) {
      const finding = imageFinding(reference, platform, `line ${number}`);
      if (finding === undefined) throw new LockfileError(`line ${number} is no reference of an image`);
      findings.want(finding);
      count++;
    }
    if (count === 0) throw new LockfileError('it names no image');
    findings.note(tagsMove);
  },
};
