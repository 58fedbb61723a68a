/** A question in words, as clients put it to search and autocompletion: brought into one form, so that the same question is one document. */
import { Problem } from '../../core/problem.ts';
import { lowerId } from './address.ts';

export interface Query {
  readonly text: string;
  readonly prerelease: boolean;
  /** Whether the client can read versions of SemVer 2.0.0. */
  readonly semVer2: boolean;
  /** Names of the two parameters that narrow a search, with their values. */
  readonly narrowed: Readonly<Record<string, string>>;
  readonly skip: number;
  readonly take: number;
}

const usualTake = 20;
/** nuget.org's own limits: more than that it does not answer. */
const mostTake = 1000;
const mostSkip = 3000;

const narrowing = ['packageType', 'packageTypeFilter', 'supportedFramework'] as const;

function count(text: string | null, usual: number, most: number): number {
  if (text === null || !/^\d{1,9}$/.test(text)) return usual;
  return Math.min(Number(text), most);
}

/** Whether the level that a client names is 2.0.0 or above; without one it is 1.0.0. */
export function knowsSemVer2(level: string | null): boolean {
  return level !== null && /^([2-9]|[1-9]\d+)\./.test(level.replace(/^'|'$/g, ''));
}

export function queryOf(parameters: URLSearchParams): Query {
  const narrowed = narrowing.flatMap((name) => {
    const value = parameters.get(name);
    return value ? [[name, value] as const] : [];
  });
  return {
    text: (parameters.get('q') ?? '').trim(),
    prerelease: parameters.get('prerelease')?.toLowerCase() === 'true',
    semVer2: knowsSemVer2(parameters.get('semVerLevel')),
    narrowed: Object.fromEntries(narrowed),
    skip: count(parameters.get('skip'), 0, mostSkip),
    take: count(parameters.get('take'), usualTake, mostTake),
  };
}

/** How many results upstream is asked for, so that neighbouring pages come out of the same answer: what two sources have can only be told apart from the start. */
function windowOf({ skip, take }: Query): number {
  let size = 32;
  while (size < skip + take && size < mostTake) size *= 2;
  return Math.min(size, mostTake);
}

/** In characters of the path's last segment. */
const longestKey = 500;

/** The question as part of a path. Throws `bad_request` for one that is too long. */
export function keyOf(query: Query): string {
  const { text, prerelease, semVer2, narrowed } = query;
  const asked = JSON.stringify([text, prerelease, semVer2, windowOf(query), narrowed]);
  const key = Buffer.from(asked).toString('base64url');
  if (key.length > longestKey) throw new Problem('bad_request', 'The search text is too long.');
  return key;
}

/** What is asked from the start, by the key in a path. */
export function questionIn(path: string): Omit<Query, 'skip'> {
  const key = path.slice(path.lastIndexOf('/') + 1);
  const [text, prerelease, semVer2, take, narrowed] = JSON.parse(Buffer.from(key, 'base64url').toString()) as [
    string,
    boolean,
    boolean,
    number,
    Record<string, string>,
  ];
  return { text, prerelease, semVer2, take, narrowed };
}

/** The same as upstream is asked it. */
export function upstreamQuery(path: string): string {
  const { text, prerelease, semVer2, take, narrowed } = questionIn(path);
  const parameters = new URLSearchParams({
    q: text,
    skip: '0',
    take: String(take),
    prerelease: String(prerelease),
    ...(semVer2 ? { semVerLevel: '2.0.0' } : {}),
    ...narrowed,
  });
  return parameters.toString();
}

/** The package that a search is about, if it is about one: whoever claims that name is asked alone. */
export function nameIn({ text }: Query): string | undefined {
  const [, id = ''] = /^(?:(?:packageid|id):)?"?([^\s":]+)"?$/i.exec(text) ?? [];
  return lowerId(id);
}
