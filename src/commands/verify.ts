import { loadConfig } from '../config/load.ts';
import { formatSize } from '../config/units.ts';
import { verify } from '../store/verify.ts';
import { type Command, configOption, exitCodes, json, jsonOption } from './command.ts';
import { startProgress } from './progress.ts';

export const command: Command = {
  name: 'verify',
  summary: 'Reads everything stored and compares it with its digests.',
  details:
    'What is damaged is set aside in quarantine/ and fetched again when somebody asks for it. Exits with 0 if nothing was,\nwith 3 if something was; it is listed. May run beside the server.',
  options: {
    config: configOption,
    rebuild: { type: 'boolean', description: 'Make the index anew from what is on the disk.' },
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
      say(
        `${report.checked} objects, ${formatSize(report.bytes)}: ${report.clean ? 'all as they should be' : `${report.damaged.length} damaged, set aside`}.`,
      );
      if (report.sweptStaging > 0) say(`${report.sweptStaging} unfinished downloads removed.`);
      if (report.danglingEntries > 0)
        say(`${report.danglingEntries} entries without bytes removed; they are fetched when asked for.`);
      if (report.indexRebuilt) say('Index made anew.');
    }
    return report.clean ? exitCodes.done : exitCodes.partly;
  },
};
