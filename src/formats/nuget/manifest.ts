/** What a package says about itself in its nuspec, as far as readers of a feed are told. */
import { childOf, readXml, textAt, type XmlElement } from '../../codecs/xml.ts';
import { Problem } from '../../core/problem.ts';
import { type PackageKey, packageKey } from './address.ts';
import type { Json } from './json.ts';

export interface Manifest extends PackageKey {
  /** As it stands in the entry of a registration; texts that are too long for one are cut. */
  readonly facts: Json;
  /** It has the symbols of a package of the same name. */
  readonly isSymbols: boolean;
  /** Where they are in the package, as the nuspec spells it. */
  readonly icon?: string;
  readonly readme?: string;
  readonly license?: string;
  /** URL of the source project. */
  readonly source?: string;
}

/** nuget.org takes no longer ones (PackageValidationHelper); every version's texts stand in every answer about its package. */
const longestText = 4000;
const longestLine = 500;
/** Elements of a list. */
const mostItems = 2000;

function invalid(why: string, cause?: unknown): Problem {
  return new Problem('invalid_package', `This is no NuGet package that can be published: ${why}.`, { cause });
}

function cut(text: string | undefined, longest: number): string | undefined {
  return text === undefined || text.length <= longest ? text : `${text.slice(0, longest - 1)}…`;
}

/** Addresses that people are led to. */
function urlIn(text: string | undefined): string | undefined {
  return text !== undefined && text.length <= 2000 && /^https?:\/\//i.test(text) && URL.canParse(text)
    ? text
    : undefined;
}

function all(element: XmlElement | undefined, name: string): readonly XmlElement[] {
  const found = element?.children.filter((child) => child.name === name) ?? [];
  if (found.length > mostItems) throw invalid(`its nuspec has more than ${mostItems} elements <${name}> in one place`);
  return found;
}

/** The second version of the protocol wrote `1.0.0` for "1.0.0 or above". */
function rangeOf(version: string | undefined): string {
  const text = version?.trim() ?? '';
  if (text === '') return '(, )';
  return /^[[(]/.test(text) ? text : `[${text}, )`;
}

function dependenciesIn(parent: XmlElement): readonly Json[] {
  return all(parent, 'dependency').flatMap(({ attributes: { id, version } }) =>
    id === undefined || id.trim() === '' ? [] : [{ id: id.trim(), range: rangeOf(version) }],
  );
}

/** By framework, or for all of them in one group without one. */
function groupsIn(metadata: XmlElement): readonly Json[] {
  const dependencies = childOf(metadata, 'dependencies');
  if (!dependencies) return [];
  const groups = all(dependencies, 'group');
  const told = groups.length > 0 ? groups : [dependencies];
  return told.flatMap((group): Json[] => {
    const inside = dependenciesIn(group);
    const { targetFramework } = group.attributes;
    if (inside.length === 0 && targetFramework === undefined) return [];
    return [
      {
        ...(targetFramework === undefined ? {} : { targetFramework }),
        ...(inside.length === 0 ? {} : { dependencies: inside }),
      },
    ];
  });
}

function packageTypesIn(metadata: XmlElement): readonly Json[] {
  return all(childOf(metadata, 'packageTypes'), 'packageType').flatMap(({ attributes: { name, version } }) =>
    name === undefined ? [] : [{ name, ...(version === undefined ? {} : { version }) }],
  );
}

function licenseIn(metadata: XmlElement): { readonly expression?: string; readonly file?: string } {
  const license = childOf(metadata, 'license');
  if (!license?.text) return {};
  return license.attributes.type === 'file'
    ? { file: license.text }
    : { expression: cut(license.text, longestLine) ?? '' };
}

function repositoryIn(metadata: XmlElement): Readonly<Record<string, string>> {
  const { type, url, branch, commit } = childOf(metadata, 'repository')?.attributes ?? {};
  const told = { type, url, branch, commit };
  return Object.fromEntries(
    Object.entries(told).flatMap(([name, value]) => (value && value.length <= 2000 ? [[name, value]] : [])),
  );
}

const isTrue = (text: string | undefined): boolean => text?.toLowerCase() === 'true';

/** Nothing where nothing is said. */
function told(fields: Readonly<Record<string, unknown>>): Json {
  return Object.fromEntries(
    Object.entries(fields).filter(
      ([, value]) => value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0),
    ),
  );
}

/** What NuGet itself takes for an id (PackageIdValidator), in letters that stand in addresses as they are. */
const goodId = /^[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*$/;

function metadataOf(bytes: Uint8Array): XmlElement {
  let root: XmlElement;
  try {
    root = readXml(bytes, { sizeBytes: bytes.byteLength, elements: 50_000 });
  } catch (error) {
    throw invalid(`its nuspec can't be read (${error instanceof Error ? error.message : 'it is no XML'})`, error);
  }
  const metadata = root.name === 'package' ? childOf(root, 'metadata') : undefined;
  if (!metadata) throw invalid('its nuspec has no <metadata>');
  return metadata;
}

/** Throws `invalid_package` on what is no nuspec of a package that could be asked for. */
export function readManifest(bytes: Uint8Array): Manifest {
  const metadata = metadataOf(bytes);
  const line = (name: string): string | undefined => cut(textAt(metadata, name), longestLine);
  const text = (name: string): string | undefined => cut(textAt(metadata, name), longestText);
  const id = textAt(metadata, 'id') ?? '';
  const version = textAt(metadata, 'version') ?? '';
  const key = packageKey(id, version);
  if (!key || !goodId.test(id)) {
    throw invalid(
      `its nuspec has the id ${JSON.stringify(id.slice(0, 110))} and the version ${JSON.stringify(version.slice(0, 130))}`,
    );
  }
  const packageTypes = packageTypesIn(metadata);
  const license = licenseIn(metadata);
  const repository = repositoryIn(metadata);
  const projectUrl = urlIn(textAt(metadata, 'projectUrl'));
  const source = repository.url ?? projectUrl;
  const [icon, readme] = [textAt(metadata, 'icon'), textAt(metadata, 'readme')];
  return {
    ...key,
    isSymbols: packageTypes.some(({ name }) => String(name).toLowerCase() === 'symbolspackage'),
    facts: told({
      id,
      version,
      title: line('title'),
      authors: line('authors'),
      description: text('description'),
      summary: text('summary'),
      tags: (line('tags') ?? '').split(/[\s,;]+/).filter((tag) => tag !== ''),
      language: line('language'),
      copyright: line('copyright'),
      projectUrl,
      iconUrl: urlIn(textAt(metadata, 'iconUrl')),
      licenseUrl: urlIn(textAt(metadata, 'licenseUrl')),
      licenseExpression: license.expression,
      minClientVersion: metadata.attributes.minClientVersion,
      requireLicenseAcceptance: isTrue(textAt(metadata, 'requireLicenseAcceptance')),
      developmentDependency: isTrue(textAt(metadata, 'developmentDependency')),
      dependencyGroups: groupsIn(metadata),
      packageTypes,
      repository: Object.keys(repository).length > 0 ? repository : undefined,
    }),
    ...(icon === undefined ? {} : { icon }),
    ...(readme === undefined ? {} : { readme }),
    ...(license.file === undefined ? {} : { license: license.file }),
    ...(source === undefined ? {} : { source }),
  };
}
