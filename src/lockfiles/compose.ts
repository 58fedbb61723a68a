/** Compose files: images of services, of what they are built from and of volumes. */
import { isObject, type Json } from '../codecs/json.ts';
import { textOf, yamlDocumentsOf } from './contents.ts';
import { readDockerfile } from './dockerfile.ts';
import { namedObjects, objectField, textField } from './fields.ts';
import type { Findings } from './findings.ts';
import { tagsMove, wantImage } from './image-reference.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { expand } from './variables.ts';

const noValues: ReadonlyMap<string, string> = new Map();

function image(findings: Findings, said: string, platform: string | undefined, at: string): void {
  const reference = expand(said, noValues);
  if (reference === undefined || reference === '') {
    findings.skip(said, 'a variable in it has no default; give the image in a list', at);
  } else wantImage(findings, reference, platform === undefined ? undefined : expand(platform, noValues), at);
}

function readBuild(build: Json, at: string, findings: Findings): void {
  const inline = textField(build, 'dockerfile_inline', at);
  if (inline !== undefined) readDockerfile(inline, `${at} > dockerfile_inline, `, findings);
  else findings.skip(textField(build, 'dockerfile', at) ?? 'Dockerfile', 'it is a file of its own; give it too', at);
  const contexts: unknown = build.additional_contexts;
  const values = Array.isArray(contexts)
    ? contexts.map((one) => String(one).replace(/^[^=]*=/, ''))
    : isObject(contexts)
      ? Object.values(contexts)
      : [];
  for (const value of values) {
    if (typeof value === 'string' && value.startsWith('docker-image://')) image(findings, value, undefined, at);
  }
}

/** What `<<` brings (YAML 1.1, merge keys), without what stands there itself. One level: merged services merge no more. */
function merged(service: Json): Json {
  const below: unknown = service['<<'];
  const parts = (Array.isArray(below) ? (below as readonly unknown[]) : [below]).filter(isObject);
  return Object.assign({}, ...parts.toReversed(), service) as Json;
}

function readService(service: Json, at: string, findings: Findings): void {
  const platform = textField(service, 'platform', at);
  const said = textField(service, 'image', at);
  const { build } = service;
  if (typeof build === 'string') findings.skip(`${build}/Dockerfile`, 'it is a file of its own; give it too', at);
  else if (isObject(build)) readBuild(build, `${at} > build`, findings);
  else if (said !== undefined) image(findings, said, platform, at);
  const volumes = Array.isArray(service.volumes) ? (service.volumes as readonly unknown[]) : [];
  for (const volume of volumes) {
    if (isObject(volume) && volume.type === 'image')
      image(findings, textField(volume, 'source', at) ?? '', platform, `${at} > volumes`);
  }
}

export const compose: Kind = {
  id: 'compose',
  names: ['compose.yaml', 'docker-compose.yml', 'compose.*.yaml'],
  isNamed: ({ name }) => /^(?:docker-)?compose(?:[-.].+)?\.ya?ml$/i.test(name),
  looksLike: (contents) => {
    const text = textOf(contents);
    return /^services:[ \t\r]*$/m.test(text) && /^ +(?:image|build):/m.test(text) && !/^apiVersion:/m.test(text);
  },
  read: (contents, findings) => {
    let count = 0;
    for (const document of yamlDocumentsOf(contents)) {
      if (!isObject(document)) throw new LockfileError('it holds no fields');
      for (const [name, service] of namedObjects(objectField(document, 'services', 'the file'), 'services')) {
        readService(merged(service), `services > ${name}`, findings);
        count++;
      }
      if (document.include !== undefined) {
        findings.skip('include', 'its files are read by themselves; give them too', 'include');
      }
    }
    if (count === 0) throw new LockfileError('it has no services');
    findings.note(tagsMove);
  },
};
