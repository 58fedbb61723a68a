/** Search and autocompletion among what is published here. */
import type { Body, Document, PackageRecord, View } from '../../core/format.ts';
import { entryOf } from './hosted.ts';
import { isObject, type Json, jsonBody, textOf } from './json.ts';
import { type Query, questionIn } from './query.ts';
import { needsSemVer2 } from './registration.ts';
import { isPrerelease, sortByVersion } from './version.ts';

type Question = Omit<Query, 'skip'>;

interface Term {
  /** Lower case; `''`: any. */
  readonly field: string;
  /** Lower case. */
  readonly text: string;
}

/** Words, or several of them in quotes, each perhaps with the field that it is looked for in (nuget.org's search syntax). */
function termsOf(text: string): readonly Term[] {
  return [...text.matchAll(/(?:([A-Za-z]+):)?(?:"([^"]*)"?|([^\s"]+))/g)].flatMap(([, field = '', quoted, word]) => {
    const term = (quoted ?? word ?? '').trim().toLowerCase();
    return term === '' ? [] : [{ field: field.toLowerCase(), text: term }];
  });
}

function textsOf(value: unknown): string {
  return (Array.isArray(value) ? value.join(' ') : (textOf(value) ?? '')).toLowerCase();
}

const fields: Readonly<Record<string, (facts: Json) => string>> = {
  id: ({ id }) => textsOf(id),
  title: ({ title }) => textsOf(title),
  tags: ({ tags }) => textsOf(tags),
  tag: ({ tags }) => textsOf(tags),
  author: ({ authors }) => textsOf(authors),
  authors: ({ authors }) => textsOf(authors),
  description: ({ description }) => textsOf(description),
  summary: ({ summary }) => textsOf(summary),
};

const everywhere = ['id', 'title', 'tags', 'authors', 'description', 'summary'];

function matches({ field, text }: Term, facts: Json): boolean {
  if (field === 'packageid') return textsOf(facts.id) === text;
  if (field === 'version') return textsOf(facts.version) === text;
  // A word with a colon that names no field is a word.
  if (field !== '' && !Object.hasOwn(fields, field)) return matches({ field: '', text: `${field}:${text}` }, facts);
  return (field === '' ? everywhere : [field]).some((name) => fields[name]?.(facts).includes(text));
}

/** The exact id first, then what begins like it, then what has it anywhere, then the rest. */
function rankOf(id: string, terms: readonly Term[]): number {
  const [first] = terms;
  if (!first) return 0;
  if (id === first.text) return 0;
  if (id.startsWith(first.text)) return 1;
  return id.includes(first.text) ? 2 : 3;
}

function hasType({ packageTypes }: Json, wanted: string): boolean {
  const types = Array.isArray(packageTypes) ? packageTypes.filter(isObject) : [];
  if (types.length === 0) return wanted === 'dependency';
  return types.some(({ name }) => textsOf(name) === wanted);
}

function isShown({ version, facts, yanked }: PackageRecord, { prerelease, semVer2 }: Question): boolean {
  return yanked !== true && (prerelease || !isPrerelease(version)) && (semVer2 || !needsSemVer2(facts));
}

interface Hit {
  readonly name: string;
  /** Of the versions that are shown the one that was published last: what is looked at. */
  readonly newest: PackageRecord;
}

/** Of most packages one version is looked at: all of them are ordered only for those that are answered. */
function hitsFor(question: Question, view: View, isMeant: (newest: PackageRecord) => boolean): readonly Hit[] {
  const hits: Hit[] = [];
  for (const name of view.names()) {
    const newest = view.records(name).findLast((record) => isShown(record, question));
    if (newest && isMeant(newest)) hits.push({ name, newest });
  }
  return hits;
}

function inOrder(hits: readonly Hit[], terms: readonly Term[]): readonly Hit[] {
  return [...hits].sort(
    (a, b) => rankOf(a.name, terms) - rankOf(b.name, terms) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
}

const versionOf = ({ facts, version }: PackageRecord): string => textOf(facts.version) ?? version;

/** What is said of one version alone is not said of a package. */
const ofOneVersion = [
  'listed',
  'created',
  'published',
  'dependencyGroups',
  'packageHash',
  'packageHashAlgorithm',
  'packageSize',
];

function resultOf(name: string, question: Question, view: View): readonly Json[] {
  const some = view.records(name).filter((record) => isShown(record, question));
  const versions = sortByVersion(some, ({ version }) => version);
  const latest = versions.at(-1);
  return latest ? [resultJson(latest, versions)] : [];
}

function resultJson(latest: PackageRecord, versions: readonly PackageRecord[]): Json {
  const { authors, ...entry } = entryOf(latest);
  return {
    ...Object.fromEntries(Object.entries(entry).filter(([field]) => !ofOneVersion.includes(field))),
    '@type': 'Package',
    hosted: true,
    authors: authors === undefined ? [] : [authors],
    totalDownloads: 0,
    versions: versions.map((record) => ({ version: versionOf(record), downloads: 0 })),
  };
}

/** Frameworks are not looked at: packages say them in the names of their folders, which nobody has read. */
export function renderSearch({ path }: Document, view: View): Body {
  const question = questionIn(path);
  const terms = termsOf(question.text);
  const wanted = question.narrowed.packageType?.toLowerCase() ?? question.narrowed.packageTypeFilter?.toLowerCase();
  const hits = hitsFor(
    question,
    view,
    ({ facts }) => terms.every((term) => matches(term, facts)) && (wanted === undefined || hasType(facts, wanted)),
  );
  const found = inOrder(hits, terms);
  const data = found.slice(0, question.take).flatMap(({ name }) => resultOf(name, question, view));
  return jsonBody({ totalHits: found.length, data });
}

export function renderCompletions({ path }: Document, view: View): Body {
  const question = questionIn(path);
  const text = question.text.toLowerCase();
  const hits = hitsFor(question, view, ({ name }) => name.includes(text));
  const found = inOrder(hits, [{ field: '', text }]);
  const ids = found.slice(0, question.take).map(({ name, newest }) => textOf(newest.facts.id) ?? name);
  return jsonBody({ totalHits: found.length, data: ids });
}
