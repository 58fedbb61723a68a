/** What Maven's and Gradle's clients ask for that find a module in a lockfile: its files, and the poms that its pom needs. */
import { childOf, readXml, textAt, type XmlElement } from '../../codecs/xml.ts';
import { encodePath } from '../../core/path.ts';
import type { Wanted, WarmStep } from '../../core/warm.ts';
import { pomLimit } from './pom.ts';
import { isSnapshot } from './version.ts';

interface Module {
  readonly group: string;
  readonly artifact: string;
  readonly version: string;
}

const part = /^[\w.+~-]+$/;
const moduleBytes = 8 * 1024 * 1024;

function pathOf({ group, artifact, version }: Module, file: string): string {
  return encodePath(`${group.replaceAll('.', '/')}/${artifact}/${version}/${file}`);
}

function moduleIn(element: XmlElement | undefined, properties: ReadonlyMap<string, string>): Module | undefined {
  const [group, artifact, version] = ['groupId', 'artifactId', 'version'].map((name) =>
    filled(textAt(element, name), properties),
  );
  return group !== undefined && artifact !== undefined && version !== undefined
    ? { group, artifact, version }
    : undefined;
}

/** With the pom's own properties in it; `undefined` for what others would have to say, or what is no name. */
function filled(text: string | undefined, properties: ReadonlyMap<string, string>): string | undefined {
  let value = text;
  for (let depth = 0; value?.includes('${') && depth < 5; depth++) {
    value = value.replace(/\$\{([^}]+)\}/g, (whole, name: string) => properties.get(name) ?? whole);
  }
  return value !== undefined && part.test(value) && !/^\.+$/.test(value) ? value : undefined;
}

function propertiesOf(project: XmlElement, parent: XmlElement | undefined): Map<string, string> {
  const properties = new Map((childOf(project, 'properties')?.children ?? []).map(({ name, text }) => [name, text]));
  for (const name of ['groupId', 'artifactId', 'version']) {
    const own = textAt(project, name) ?? textAt(parent, name);
    const above = textAt(parent, name);
    if (own !== undefined) for (const prefix of ['project', 'pom']) properties.set(`${prefix}.${name}`, own);
    if (above !== undefined) properties.set(`project.parent.${name}`, above);
  }
  return properties;
}

/** What has to be read before the pom means anything: its parent, and the lists of versions that it imports. */
function* neededBy(project: XmlElement): Iterable<WarmStep> {
  const parent = childOf(project, 'parent');
  const properties = propertiesOf(project, parent);
  const above = moduleIn(parent, properties);
  if (above) yield pomOf(above);
  const managed = childOf(childOf(project, 'dependencyManagement'), 'dependencies');
  for (const dependency of managed?.children ?? []) {
    if (textAt(dependency, 'scope') !== 'import') continue;
    const imported = moduleIn(dependency, properties);
    if (imported) yield pomOf(imported);
  }
}

function readPom(bytes: Uint8Array): XmlElement {
  const project = readXml(bytes, { sizeBytes: pomLimit });
  if (project.name !== 'project') throw new Error(`it is no pom but a <${project.name}>`);
  return project;
}

function pomOf(module: Module, digests: WarmStep['digests'] = []): WarmStep {
  return {
    path: pathOf(module, `${module.artifact}-${module.version}.pom`),
    digests,
    read: { limit: pomLimit, next: (bytes) => neededBy(readPom(bytes)) },
  };
}

/** Kinds of packages whose file is called otherwise than they are. */
const extensions: Readonly<Record<string, string>> = { war: 'war', ear: 'ear', aar: 'aar', rar: 'rar', zip: 'zip' };

function* filesOf(module: Module, bytes: Uint8Array): Iterable<WarmStep> {
  const project = readPom(bytes);
  yield* neededBy(project);
  const packaging = textAt(project, 'packaging') ?? 'jar';
  if (packaging === 'pom') return;
  const file = `${module.artifact}-${module.version}.${extensions[packaging] ?? 'jar'}`;
  // Some that say nothing are lists of others after all, and Gradle's own say what they consist of elsewhere.
  const isSure = packaging === 'jar' && !Buffer.from(bytes).includes('published-with-gradle-metadata');
  yield { path: pathOf(module, file), ...(isSure ? {} : { optional: true }) };
}

interface Variant {
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly files?: readonly { readonly url?: unknown }[];
}

/** Gradle's own list of files (Gradle Module Metadata 1.1); documentation is only asked for by people. */
function* variantsIn(module: Module, bytes: Uint8Array): Iterable<WarmStep> {
  const { variants } = JSON.parse(Buffer.from(bytes).toString('utf8')) as { variants?: unknown };
  const urls = new Set<string>();
  for (const { attributes, files } of Array.isArray(variants) ? (variants as readonly Variant[]) : []) {
    if (attributes?.['org.gradle.category'] === 'documentation') continue;
    for (const { url } of files ?? []) if (typeof url === 'string' && part.test(url)) urls.add(url);
  }
  for (const url of urls) yield { path: pathOf(module, url) };
}

/** Throws an Error on what is no module, and on what has to be recorded. */
export function* warm({ name, version, file, digests }: Wanted): Iterable<WarmStep> {
  const [group = '', artifact = '', ...more] = name.split(':');
  if (more.length > 0 || !part.test(group) || !part.test(artifact)) throw new Error(`${name} is no group:artifact`);
  if (version === undefined || !part.test(version)) throw new Error(`${name} has no version that could be asked for`);
  const module = { group, artifact, version };
  if (file?.endsWith('.pom')) {
    yield { ...pomOf(module, digests), path: pathOf(module, file) };
    return;
  }
  if (file !== undefined) {
    yield { path: pathOf(module, file), digests };
    return;
  }
  if (isSnapshot(version)) {
    throw new Error(`the files of ${name} ${version} are named by their build: record one that uses it`);
  }
  yield {
    path: pathOf(module, `${artifact}-${version}.pom`),
    read: { limit: pomLimit, next: (bytes) => filesOf(module, bytes) },
  };
  yield {
    path: pathOf(module, `${artifact}-${version}.module`),
    optional: true,
    read: { limit: moduleBytes, next: (bytes) => variantsIn(module, bytes) },
  };
}
