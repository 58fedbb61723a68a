/** `requirements.txt` of pip: exact versions, with or without `--hash` (pip 25, "Requirements File Format"). */
import { type Contents, linesOf, textOf } from './contents.ts';
import { digestIn, strongest } from './digests.ts';
import { type Findings, lastSegment, webAddress } from './findings.ts';
import type { Kind } from './kind.ts';

interface Line {
  readonly number: number;
  readonly text: string;
}

/** Joined where a line ends in a backslash, without comments. */
function logicalLines(contents: Contents): readonly Line[] {
  const joined: Line[] = [];
  let open: { number: number; parts: string[] } | undefined;
  for (const { number, text } of linesOf(contents)) {
    const isComment = /^\s*#/.test(text);
    open ??= { number, parts: [] };
    // pip takes a comment out before it joins lines, and a comment ends what was open.
    const continues = !isComment && text.endsWith('\\');
    open.parts.push(isComment ? '' : continues ? text.slice(0, -1) : text);
    if (continues) continue;
    joined.push({
      number: open.number,
      text: open.parts
        .join('')
        .replace(/(?:^|\s)#.*$/, '')
        .trim(),
    });
    open = undefined;
  }
  if (open) joined.push({ number: open.number, text: open.parts.join('').trim() });
  return joined.filter(({ text }) => text !== '');
}

const option = /^-(?:[a-z]|-[a-z-]+)(?:[ =]|$)/;
const requirement = /^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(.*)$/s;

function readOption(text: string, at: string, findings: Findings): void {
  const [, name = '', value = ''] = /^(-[a-z]|--[a-z-]+)[ =]*(.*)$/.exec(text) ?? [];
  if (['-r', '--requirement', '-c', '--constraint'].includes(name)) {
    findings.skip(value, 'it is a file of its own; give it too', at);
  } else if (['-e', '--editable'].includes(name)) {
    findings.skip(value, 'it is built from a folder or repository', at);
  }
}

function readLine(
  { number, text }: Line,
  index: string | undefined,
  findings: Findings,
): 'hashed' | 'bare' | undefined {
  const at = `line ${number}`;
  const hashes = [...text.matchAll(/\s--hash[= ]\s*([a-z0-9]+):([0-9A-Fa-f]+)/g)];
  const digests = strongest(hashes.map(([, algorithm, hex]) => digestIn(algorithm, hex)));
  const [bare = ''] = text.split(/\s--[a-z]/, 1);
  const [spec = ''] = bare.split(/(?:^|\s);|;\s/, 1);
  if (/^[a-z][a-z+]*:\/\//i.test(spec) || /^\.{0,2}\//.test(spec) || /\.(?:whl|zip|tar\.gz)$/i.test(spec)) {
    findings.skip(spec.trim(), 'it is an address or a file, of a project that is not named', at);
    return undefined;
  }
  const [, name, rest = ''] = requirement.exec(spec.trim()) ?? [];
  if (name === undefined) throw new Error(`line ${number} is no requirement`);
  if (rest.startsWith('@')) {
    const source = rest.slice(1).trim();
    const url = webAddress(source);
    if (url === undefined) {
      findings.skip(`${name} @ ${source}`, 'it comes from a repository or a folder', at);
      return undefined;
    }
    const [, algorithm, hex] = /#(?:.*&)?(sha512|sha256|sha1|md5)=([0-9a-f]+)/i.exec(source) ?? [];
    const known = digests.length > 0 ? digests : strongest([digestIn(algorithm, hex)]);
    findings.want({ format: 'pypi', name, url, file: lastSegment(url), digests: known, at });
    return known.length > 0 ? 'hashed' : 'bare';
  }
  if (rest !== '' && !/^(?:[(<>=!~]|;)/.test(rest)) throw new Error(`line ${number} is no requirement`);
  const version = /(?:^|[,(\s])={2,3}\s*([^,;()\s]+)/.exec(rest)?.[1];
  if (version === undefined || version.includes('*')) {
    const said = `${name}${rest}`.trim();
    findings.skip(said, 'it has no exact version; let `pip-compile` or `uv pip compile` write the file', at);
    return undefined;
  }
  findings.want({ format: 'pypi', name, version, registry: index, digests, at });
  return digests.length > 0 ? 'hashed' : 'bare';
}

export const requirements: Kind = {
  id: 'requirements',
  names: ['requirements.txt', 'requirements-*.txt', 'constraints.txt'],
  isNamed: ({ name, path }) =>
    /^(?:.*[-_.])?(?:requirements|constraints)(?:[-_.].*)?\.txt$/i.test(name) ||
    /(?:^|\/)requirements\/[^/]+\.txt$/i.test(path),
  looksLike: (contents) => /^[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]\n]*\])?={2,3}[^\s=]+/m.test(textOf(contents)),
  read: (contents, findings) => {
    const lines = logicalLines(contents);
    const index = lines.flatMap(({ text }) => /^(?:-i|--index-url)[ =]+(\S+)/.exec(text)?.[1] ?? []).at(-1);
    // With a second index nobody knows which of them a project is taken from.
    const isOnly = !lines.some(({ text }) => /^(?:--extra-index-url|-f|--find-links)\b/.test(text));
    let hashed = 0;
    let bare = 0;
    for (const line of lines) {
      if (option.test(line.text)) readOption(line.text, `line ${line.number}`, findings);
      else {
        const read = readLine(line, isOnly ? index : undefined, findings);
        if (read === 'hashed') hashed++;
        if (read === 'bare') bare++;
      }
    }
    if (bare > 0) {
      findings.note(
        `${bare} of ${bare + hashed} requirements have no hash, so every file of these versions is meant and checked against the index alone; \`pip-compile --generate-hashes\` adds them.`,
      );
    }
    findings.note(
      'What source distributions need to be built is not in this file: record the build where one of them has no wheel.',
    );
  },
};
