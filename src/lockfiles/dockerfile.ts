/** Dockerfiles: what stages begin with, what is copied or mounted from other images, and the frontend that reads the file. */
import { Copy, DockerfileParser, From, type Instruction, type ParserDirective, Run } from 'dockerfile-ast';
import { textOf } from './contents.ts';
import type { Findings } from './findings.ts';
import { tagsMove, wantImage } from './image-reference.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { expand } from './variables.ts';

/** The parser's time grows faster than the file. */
const longest = 512 * 1024;
const mostInstructions = 5000;

/** Nothing below a stage that the file makes itself, and no number of one. */
class Stages {
  readonly #names = new Set<string>();

  add(name: string): void {
    this.#names.add(name.toLowerCase());
  }

  has(reference: string): boolean {
    return /^\d+$/.test(reference) || reference === 'scratch' || this.#names.has(reference.toLowerCase());
  }
}

function flagsOf(words: readonly string[], flag: string): readonly string[] {
  return words.flatMap((word) => (word.toLowerCase().startsWith(`--${flag}=`) ? [word.slice(flag.length + 3)] : []));
}

function unquoted(text: string): string {
  return text.replace(/^(["'])(.*)\1$/s, '$2');
}

/** Words of an instruction, its flags among them; the parser keeps those apart where it knows them. */
function wordsOf(instruction: Instruction): readonly string[] {
  const isFlagged = instruction instanceof From || instruction instanceof Copy || instruction instanceof Run;
  const flags = isFlagged ? instruction.getFlags().map((flag) => `--${flag.getName()}=${flag.getValue() ?? ''}`) : [];
  return [...flags, ...instruction.getArguments().map((word) => word.getValue())];
}

/** Finds every image of the text; `label` stands in front of the lines. */
export function readDockerfile(text: string, label: string, findings: Findings): void {
  if (text.length > longest) throw new LockfileError(`it is longer than ${longest} characters`);
  const file = DockerfileParser.parse(text);
  const instructions = file.getInstructions();
  if (instructions.length > mostInstructions)
    throw new LockfileError(`it has more than ${mostInstructions} instructions`);
  const values = new Map<string, string>();
  const stages = new Stages();
  let hasStage = false;
  const image = (said: string, platform: string | undefined, at: string): void => {
    const reference = expand(unquoted(said), values);
    if (reference === undefined || reference === '') {
      findings.skip(said, 'a variable in it has no default; give the image in a list', at);
    } else if (!stages.has(reference)) wantImage(findings, reference, platform, at);
  };
  const syntax = file.getDirectives().find((one: ParserDirective) => one.getName().toLowerCase() === 'syntax');
  if (syntax) wantImage(findings, syntax.getValue().trim(), undefined, `${label}# syntax`);
  for (const instruction of instructions) {
    const at = `${label}line ${instruction.getRange().start.line + 1}`;
    const words = wordsOf(instruction);
    const keyword = instruction.getKeyword();
    if (keyword === 'ARG' && !hasStage) {
      for (const word of words) {
        const [, name, value] = /^(\w+)=(.*)$/s.exec(word) ?? [];
        if (name !== undefined && value !== undefined) values.set(name, expand(unquoted(value), values) ?? '');
      }
    } else if (keyword === 'FROM') {
      hasStage = true;
      const [platform] = flagsOf(words, 'platform');
      const [said = '', as, name] = words.filter((word) => !word.startsWith('--'));
      image(said, platform === undefined ? undefined : expand(unquoted(platform), values), at);
      if (as?.toUpperCase() === 'AS' && name !== undefined) stages.add(name);
    } else if (keyword === 'COPY' || keyword === 'ONBUILD') {
      for (const from of flagsOf(words, 'from')) image(from, undefined, at);
    } else if (keyword === 'RUN') {
      for (const mount of flagsOf(words, 'mount')) {
        const from = unquoted(mount)
          .split(',')
          .find((option) => option.startsWith('from='));
        if (from !== undefined) image(from.slice('from='.length), undefined, at);
      }
    }
  }
  if (!hasStage) throw new LockfileError('it has no FROM');
  findings.note('What the commands of a Dockerfile download is not in it: record the build for that.');
}

export const dockerfile: Kind = {
  id: 'dockerfile',
  names: ['Dockerfile', 'Containerfile', 'Dockerfile.*', '*.Dockerfile'],
  isNamed: ({ name }) => /^(?:dockerfile|containerfile)(?:\..+)?$|\.(?:dockerfile|containerfile)$/i.test(name),
  looksLike: (contents) =>
    /^(?:[ \t]*(?:#.*|ARG[ \t].*)?\r?\n)*[ \t]*FROM[ \t]+\S/i.test(textOf(contents).slice(0, 20_000)),
  read: (contents, findings) => {
    readDockerfile(textOf(contents), '', findings);
    findings.note(tagsMove);
  },
};
