/** CycloneDX in JSON, versions 1.2 to 1.7: components with package URLs, however deep they lie in each other. */
import type { Json } from '../codecs/json.ts';
import type { Digest } from '../core/digest.ts';
import { jsonIfAny, jsonOf } from './contents.ts';
import { digestIn, strongest } from './digests.ts';
import { objectsField, textField } from './fields.ts';
import type { Findings } from './findings.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { wantPackageUrl } from './package-url.ts';

function hashesOf(of: Json, at: string): readonly Digest[] {
  return strongest(
    objectsField(of, 'hashes', at).map((hash) => digestIn(textField(hash, 'alg', at), textField(hash, 'content', at))),
  );
}

/** A distribution with hashes is a file; one without is often the project's home page. */
function readComponent(component: Json, at: string, findings: Findings): void {
  const purl = textField(component, 'purl', at);
  const optional = textField(component, 'scope', at) === 'optional';
  if (purl === undefined) {
    // Files and operating systems are no packages, and nobody would miss them here.
    const type = textField(component, 'type', at);
    if (type === 'library' || type === 'framework' || type === 'container')
      findings.skip(at, 'it has no package URL', at);
    return;
  }
  const files = objectsField(component, 'externalReferences', at)
    .filter((one) => one.type === 'distribution')
    .map((one) => ({ url: textField(one, 'url', at), digests: hashesOf(one, at) }))
    .filter((one) => one.digests.length > 0);
  for (const file of files) wantPackageUrl(findings, purl, { ...file, optional, at });
  if (files.length === 0) wantPackageUrl(findings, purl, { digests: hashesOf(component, at), optional, at });
}

export const buildToolsMissing =
  'Such a document lists what is in a product: what its build needs besides, plugins, parents and tools, is not in it, so record the build where that matters.';

export const cyclonedx: Kind = {
  id: 'cyclonedx',
  names: ['bom.json', '*.cdx.json'],
  isNamed: ({ name }) => /^bom\.json$|\.cdx\.json$/i.test(name),
  looksLike: (contents) => jsonIfAny(contents)?.bomFormat === 'CycloneDX',
  read: (contents, findings) => {
    const json = jsonOf(contents);
    if (json.bomFormat !== 'CycloneDX') throw new LockfileError('its bomFormat is not CycloneDX');
    // The depth of the whole file is limited, so this is too.
    const visit = (components: readonly Json[]): void => {
      for (const component of components) {
        const at =
          textField(component, 'bom-ref', 'a component') ??
          textField(component, 'name', 'a component') ??
          'a component';
        readComponent(component, at, findings);
        visit(objectsField(component, 'components', at));
      }
    };
    visit(objectsField(json, 'components', 'the file'));
    findings.note(buildToolsMissing);
  },
};
