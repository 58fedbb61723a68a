/** What a gem says about itself: its `metadata`, a `Gem::Specification` in YAML. */
import type { Requirement, Specification } from '../../codecs/gem-marshal.ts';
import { readRubyYaml } from '../../codecs/ruby-yaml.ts';
import { Problem } from '../../core/problem.ts';
import { isName, readingsOf } from './name.ts';
import { fullVersionOf, isNumber, isPlatform, platformParts } from './version.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Unpacked. Most of a long one is the list of files. */
export const maxSpecBytes = 4 * 1024 * 1024;
const lists = ['files', 'test_files', 'extra_rdoc_files'];
/** Of the texts that are kept with every version. */
const maxTextLength = 4000;
const maxListed = 1000;

function refuse(why: string): never {
  throw new Problem('invalid_package', `This gem can't be published: ${why}.`);
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function shown(value: unknown): string {
  return JSON.stringify(typeof value === 'string' ? value.slice(0, 100) : value)?.slice(0, 100) ?? 'nothing';
}

/** Nothing in YAML is the empty text. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value !== '~' ? value.slice(0, maxTextLength) : undefined;
}

function textsOf(value: unknown): readonly string[] {
  const values = Array.isArray(value) ? value : [value];
  return values.slice(0, maxListed).flatMap((one) => textOf(one) ?? []);
}

/** `Gem::Version`, or the bare number that RubyGems before 1.0 wrote. */
function numberOf(value: unknown, what: string): string {
  const number = isFields(value) ? value.version : value;
  if (typeof number !== 'string' || !isNumber(number)) refuse(`${what} is ${shown(number)}, which is no version`);
  return number;
}

/** A specification without a platform, or with an object in its place (RubyGems 0.9), is as old as that. */
function platformOf(value: unknown): string {
  const parts = isFields(value)
    ? [value.cpu, value.os, value.version].flatMap((part) => textOf(part) ?? [])
    : undefined;
  const platform = parts ? parts.join('-') : (textOf(value) ?? 'ruby');
  if (!isPlatform(platform)) refuse(`its platform is ${shown(platform)}`);
  return platform;
}

const operators = new Set(['=', '!=', '>', '<', '>=', '<=', '~>']);

function requirementOf(value: unknown, what: string): Requirement {
  if (value === undefined || value === '') return [['>=', '0']];
  const clauses = isFields(value) ? value.requirements : undefined;
  if (!Array.isArray(clauses) || clauses.length > maxListed) refuse(`${what} is not understood`);
  const read = clauses.map((clause: unknown): Requirement[number] => {
    const [operator, version] = Array.isArray(clause) ? (clause as unknown[]) : [];
    if (typeof operator !== 'string' || !operators.has(operator)) refuse(`${what} has the operator ${shown(operator)}`);
    return [operator, numberOf(version, what)];
  });
  return read.length > 0 ? read : [['>=', '0']];
}

function dependenciesOf(value: unknown): Specification['dependencies'] {
  if (value === undefined || value === '') return [];
  if (!Array.isArray(value) || value.length > maxListed) refuse('its dependencies are not understood');
  return value.map((one: unknown) => {
    const { name, type, requirement, version_requirements: older } = isFields(one) ? one : {};
    if (typeof name !== 'string' || !isName(name)) refuse(`it depends on ${shown(name)}`);
    return {
      name,
      type: type === ':development' ? 'development' : 'runtime',
      requirement: requirementOf(requirement ?? older, `what it needs of ${name}`),
    };
  });
}

function metadataOf(value: unknown): Readonly<Record<string, string>> {
  if (!isFields(value)) return {};
  const pairs = Object.entries(value).flatMap(([key, one]) => {
    const text = textOf(one);
    return text === undefined || key.length > 128 ? [] : [[key, text] as const];
  });
  return Object.fromEntries(pairs.slice(0, 100));
}

/** Days are all that is kept of it. */
function dateOf(value: unknown): string {
  const [day] = /^(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])/.exec(textOf(value) ?? '') ?? [];
  return day ?? '1980-01-02';
}

function emailOf(value: unknown): { readonly email?: string | readonly string[] } {
  const email = Array.isArray(value) ? textsOf(value) : textOf(value);
  return email === undefined ? {} : { email };
}

function optional<K extends string>(key: K, value: unknown): { readonly [P in K]?: string } {
  const text = textOf(value);
  return (text === undefined ? {} : { [key]: text }) as { readonly [P in K]?: string };
}

/** `{name}-{version}[-{platform}]`, which is what its file is called. */
export function fullNameOf({ name, version, platform }: Pick<Specification, 'name' | 'version' | 'platform'>): string {
  return `${name}-${fullVersionOf(version, platform)}`;
}

/**
 * Everything that the index needs of it. Throws `invalid_package` when it can't be understood, and when its file's name would
 * be taken for that of another gem: `foo-1-java` 2 and `foo` 1 for `java-2` share one.
 */
export function readSpec(bytes: Uint8Array): Specification {
  let read: unknown;
  try {
    read = readRubyYaml(bytes, { leaveOut: lists });
  } catch (error) {
    return refuse(
      `its specification can't be read, because ${error instanceof Error ? error.message : 'it is broken'}`,
    );
  }
  if (!isFields(read)) return refuse('it has no specification');
  const { name } = read;
  if (typeof name !== 'string' || !isName(name) || !/^[A-Za-z0-9]/.test(name) || !/[A-Za-z]/.test(name)) {
    refuse(`its name is ${shown(name)}`);
  }
  const version = numberOf(read.version, 'its version');
  const platform = platformOf(read.platform);
  const spec: Specification = {
    name,
    version,
    platform,
    ...(platform === 'ruby' ? {} : { platformParts: platformParts(platform) }),
    rubygemsVersion: textOf(read.rubygems_version) ?? '0',
    date: dateOf(read.date),
    summary: textOf(read.summary) ?? '',
    ...optional('description', read.description),
    ...optional('homepage', read.homepage),
    ...emailOf(read.email),
    authors: textsOf(read.authors ?? read.author),
    licenses: textsOf(read.licenses ?? read.license),
    metadata: metadataOf(read.metadata),
    requiredRuby: requirementOf(read.required_ruby_version, 'the Ruby that it needs'),
    requiredRubygems: requirementOf(read.required_rubygems_version, 'the RubyGems that it needs'),
    dependencies: dependenciesOf(read.dependencies),
  };
  const full = fullNameOf(spec);
  const [likely] = readingsOf(full);
  if (likely?.name !== name) {
    refuse(`the name of its file, ${full}.gem, would be read as ${likely?.name ?? 'no gem'} ${likely?.version ?? ''}`);
  }
  return spec;
}
