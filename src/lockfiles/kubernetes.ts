/** Kubernetes manifests, all documents of the file: containers wherever they stand, image volumes, and images of a kustomization. */
import { isObject, type Json } from '../codecs/json.ts';
import { textOf, yamlDocumentsOf } from './contents.ts';
import type { Findings } from './findings.ts';
import { imageFinding, tagsMove, wantImage } from './image-reference.ts';
import type { Kind } from './kind.ts';
import { LockfileError, limits } from './lockfile.ts';

const containerLists = new Set(['containers', 'initContainers', 'ephemeralContainers']);

function readContainers(list: readonly unknown[], at: string, findings: Findings): void {
  for (const container of list) {
    if (!isObject(container) || container.image === undefined) continue;
    const where = `${at} > ${typeof container.name === 'string' ? container.name : 'a container'}`;
    if (typeof container.image === 'string') wantImage(findings, container.image.trim(), undefined, where);
    else findings.skip(where, 'its image is no text', where);
  }
}

/** `images:` of a kustomization: what takes the place of a name. */
function readKustomization(document: Json, findings: Findings): void {
  for (const one of Array.isArray(document.images) ? (document.images as readonly unknown[]) : []) {
    if (!isObject(one)) continue;
    const text = (key: string): string | undefined => (typeof one[key] === 'string' ? one[key] : undefined);
    const name = text('newName') ?? text('name') ?? '';
    const tag = text('newTag');
    const digest = text('digest');
    if (tag === undefined && digest === undefined) {
      findings.skip(name, 'its tag stands in the resources; give what `kubectl kustomize` writes', 'images');
    } else
      wantImage(
        findings,
        `${name}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`,
        undefined,
        'images',
      );
  }
  findings.skip('resources', 'they are files of their own; give what `kubectl kustomize` writes', 'resources');
}

/** Everything below one document, in its order; what several aliases stand for once. */
function walk(document: Json, label: string, findings: Findings): void {
  const seen = new Set<unknown>();
  const visit = (value: unknown, at: string, depth: number, inVolumes: boolean): void => {
    if (depth > limits.depth) throw new LockfileError(`it is nested deeper than ${limits.depth} levels`);
    if (seen.has(value)) return;
    if (typeof value === 'object') seen.add(value);
    if (Array.isArray(value)) {
      for (const one of value as readonly unknown[]) visit(one, at, depth + 1, inVolumes);
    } else if (isObject(value)) {
      for (const [key, below] of Object.entries(value)) {
        if (containerLists.has(key) && Array.isArray(below)) {
          readContainers(below, at, findings);
          for (const one of below as readonly unknown[]) {
            // A container may hold more than its image; its image was read.
            if (!isObject(one) || seen.has(one)) continue;
            seen.add(one);
            visit({ ...one, image: undefined }, at, depth + 2, false);
          }
        } else if (key === 'image' && inVolumes && isObject(below) && typeof below.reference === 'string') {
          wantImage(findings, below.reference, undefined, `${at} > volumes`);
        } else if (key === 'image' && typeof below === 'string' && imageFinding(below, undefined, at) !== undefined) {
          findings.skip(below, 'it may be an image; if it is one, give it in a list', at);
        } else visit(below, at, depth + 1, key === 'volumes');
      }
    }
  };
  visit(document, label, 0, false);
}

function labelOf(document: Json): string {
  const name: unknown = isObject(document.metadata) ? document.metadata.name : undefined;
  const kind = typeof document.kind === 'string' ? document.kind : 'a document';
  return typeof name === 'string' ? `${kind} ${name}` : kind;
}

export const kubernetes: Kind = {
  id: 'kubernetes',
  names: ['*.yaml with apiVersion and kind', 'kustomization.yaml'],
  isNamed: ({ name }) => /^kustomization\.ya?ml$/i.test(name),
  looksLike: (contents) => {
    const text = textOf(contents);
    if (/^\s*\{/.test(text.slice(0, 1000)))
      return /^\s*\{[^{}[\]]*"apiVersion"\s*:\s*"[^"]+"[^{}[\]]*"kind"\s*:/.test(text.slice(0, 1000));
    return /^apiVersion:\s*\S/m.test(text) && /^kind:\s*\S/m.test(text);
  },
  read: (contents, findings) => {
    if (/^[ \t]*\{\{-?\s/m.test(textOf(contents))) {
      throw new LockfileError('it is a template of Helm; give what `helm template` writes');
    }
    const documents = yamlDocumentsOf(contents);
    for (const document of documents) {
      if (!isObject(document)) throw new LockfileError('one of its documents holds no fields');
      if (document.kind === 'Kustomization' || /^kustomization\./i.test(contents.name))
        readKustomization(document, findings);
      else walk(document, labelOf(document), findings);
    }
    if (documents.length === 0) throw new LockfileError('it is empty');
    findings.note(tagsMove);
  },
};
