import { BundleError } from '../bundles/format.ts';
import { type ImportReport, importBundle } from '../bundles/import.ts';
import { findParts } from '../bundles/parts.ts';
import { loadConfig } from '../config/load.ts';
import { formatSize } from '../config/units.ts';
import { hostedRepositories, namedUpstreams, publicKeyOf, split, storeOf, tool, trustedKeys } from './bundling.ts';
import { type Command, configOption, exitCodes, json, jsonOption, UsageError } from './command.ts';
import { startProgress } from './progress.ts';

const longestList = 20;

export const command: Command = {
  name: 'import',
  positionals: 'FILE…',
  summary: 'Takes a bundle in that larder export wrote.',
  details:
    'FILE is a bundle, or any of its parts; the others may lie beside it. Nothing of it is visible before all of it was read and\nits signature is found right. May run beside the server, be broken off, and be repeated. Exits with 1 when the bundle is\nrefused, with 3 when something in it could not be taken over.',
  options: {
    config: configOption,
    trust: {
      type: 'string',
      value: 'KEY',
      description: 'Public key, or a file with one, besides those of larder keys trust.',
    },
    unsigned: { type: 'boolean', description: 'Take it in whoever made it.' },
    json: jsonOption,
  },
  async run(input) {
    const { positionals, environment, say } = input;
    if (positionals.length === 0) throw new UsageError('import needs a bundle: larder import FILE');
    const config = await loadConfig(input.text('config'), environment);
    const trust = await Promise.all(split(input.texts('trust')).map(publicKeyOf));
    const unsigned = input.flag('unsigned');
    if (unsigned && trust.length > 0) throw new UsageError('--trust and --unsigned say different things');
    const identities = new Map(namedUpstreams(config).map(({ name, identity }) => [name, identity]));
    const hosted = new Set(hostedRepositories(config));
    const progress = startProgress('Importing');
    try {
      const parts = await findParts(positionals);
      const report = await importBundle({
        storage: storeOf(config),
        parts,
        trusted: [...(await trustedKeys(config.storage.path)), ...trust],
        unsigned,
        identityOf: (name) => identities.get(name),
        isHosted: (repository) => hosted.has(repository),
        toolVersion: tool.version,
        onProgress: progress.show,
      });
      progress.end();
      const partly = report.refused.length > 0 || Object.keys(report.unknownUpstreams).length > 0;
      if (input.flag('json')) say(json(report));
      else tell(report, say);
      return partly ? exitCodes.partly : exitCodes.done;
    } catch (error) {
      progress.end();
      if (error instanceof BundleError)
        throw new Error(`refused, and nothing of it is visible: ${error.message}`, { cause: error });
      if ((error as { code?: string }).code !== 'ENOSPC') throw error;
      throw new Error(`there is not enough room for it, and nothing of it is visible: ${(error as Error).message}`, {
        cause: error,
      });
    }
  },
};

function tell(report: ImportReport, say: (text: string) => void): void {
  const { header, signedBy, added, addedBytes, there, entries, kept, changes, refused, unknownUpstreams } = report;
  say(
    `Bundle ${header.id} of ${header.createdAt}, ${signedBy === undefined ? 'signature not looked at' : `signed by ${signedBy}`}.`,
  );
  say(`${added} files came, ${formatSize(addedBytes)}; ${there} were here already.`);
  say(
    `${entries} entries are new or newer, ${kept} were as new here.${changes > 0 ? ` ${changes} changes of published packages.` : ''}`,
  );
  for (const [upstream, count] of Object.entries(unknownUpstreams)) {
    say(`left out  upstream ${upstream}: the configuration has none of this name (${count} entries)`);
  }
  for (const { what, why } of refused.slice(0, longestList)) say(`left out  ${what}: ${why}`);
  if (refused.length > longestList) say(`and ${refused.length - longestList} more; --json lists them all`);
}
