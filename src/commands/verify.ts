import { loadConfig } from '../config/load.ts';
import { formatSize } from '../config/units.ts';
import { verify } from '../store/verify.ts';
import { type Command, configOption, exitCodes, json, jsonOption } from './command.ts';
import { startProgress } from './progress.ts';

export const command: Command = {
  name: 'verify',
  summary: 'Reads everything stored and compares it with its digests.',
  details:
    'What is damaged is set aside in quarantine/ and fetched again when somebody asks for it; what is published cannot be\nfetched again, and is listed with its repository and path. Exits with 0 if nothing was, with 3 if something was. May run\nbeside the server.',
  options: {
    config: configOption,
    rebuild: {
      type: 'boolean',
      description: 'Make the index anew from what is on the disk, and what is published from its journals.',
    },
    json: jsonOption,
  },
  async run(input) {
    const { say, environment } = input;
    const config = await loadConfig(input.text('config'), environment);
    const progress = startProgress('Verifying');
    const report = await verify({
      ...config.storage,
      index: config.index,
      rebuild: input.flag('rebuild'),
      onProgress: progress.show,
    }).finally(() => progress.end());
    if (input.flag('json')) say(json({ storage: config.storage.path, ...report }));
    else {
      for (const { digest, path, reason } of report.damaged) say(`damaged  ${digest || path}  ${reason}`);
      const lost = report.damaged.filter(({ published }) => published).length;
      const setAside = report.damaged.length - lost;
      const found = [
        ...(setAside > 0 ? [`${setAside} damaged, set aside`] : []),
        ...(lost > 0 ? [`${lost} published and not whole`] : []),
      ];
      say(
        `${report.checked} objects, ${formatSize(report.bytes)}: ${report.clean ? 'all as they should be' : found.join('; ')}.`,
      );
      const { journals, changes, packages, files, rebuilt } = report.hosted;
      if (journals > 0) {
        say(
          `${journals} journals with ${changes} changes: ${packages} packages with ${files} files are published.${rebuilt ? ' Read from the first change on, and new checkpoints written.' : ''}`,
        );
      }
      if (report.sweptStaging > 0) say(`${report.sweptStaging} unfinished downloads removed.`);
      if (report.danglingEntries > 0)
        say(`${report.danglingEntries} entries without bytes removed; they are fetched when asked for.`);
      if (report.indexRebuilt) say('Index made anew.');
    }
    return report.clean ? exitCodes.done : exitCodes.partly;
  },
};
