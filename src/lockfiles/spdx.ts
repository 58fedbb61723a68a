/** SPDX in JSON, versions 2.2 and 2.3: packages with package URLs among their external references. */
import { jsonIfAny, jsonOf } from './contents.ts';
import { buildToolsMissing } from './cyclonedx.ts';
import { digestIn, strongest } from './digests.ts';
import { neededText, objectsField, textField } from './fields.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { wantPackageUrl } from './package-url.ts';

export const spdx: Kind = {
  id: 'spdx',
  names: ['*.spdx.json'],
  isNamed: ({ name }) => /\.spdx\.json$/i.test(name),
  looksLike: (contents) => {
    const json = jsonIfAny(contents);
    return typeof json?.spdxVersion === 'string' || /\/spdx-context\.jsonld$/.test(String(json?.['@context']));
  },
  read: (contents, findings) => {
    const json = jsonOf(contents);
    if (!/^SPDX-2\.\d+$/.test(textField(json, 'spdxVersion', 'the file') ?? '')) {
      throw new LockfileError(
        'its spdxVersion is not 2.2 or 2.3; let the tool that made it write SPDX 2.3 or CycloneDX as JSON',
      );
    }
    for (const one of objectsField(json, 'packages', 'the file')) {
      const name = neededText(one, 'name', 'a package');
      const at = textField(one, 'SPDXID', name) ?? name;
      const purls = objectsField(one, 'externalRefs', at).flatMap((ref) =>
        ref.referenceType === 'purl' ? (textField(ref, 'referenceLocator', at) ?? []) : [],
      );
      const sums = objectsField(one, 'checksums', at).map((sum) =>
        digestIn(textField(sum, 'algorithm', at), textField(sum, 'checksumValue', at)),
      );
      const location = textField(one, 'downloadLocation', at) ?? '';
      const url = /^https?:\/\/.*\.(?:tgz|tar\.gz|whl|zip|gem|jar|nupkg)$/i.test(location) ? location : undefined;
      for (const purl of purls) wantPackageUrl(findings, purl, { digests: strongest(sums), url, at });
      if (purls.length === 0) findings.skip(name, 'it has no package URL', at);
    }
    findings.note(buildToolsMissing);
  },
};
