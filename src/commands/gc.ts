import { loadConfig } from '../config/load.ts';
import { formatSize, parseDuration } from '../config/units.ts';
import { collect } from '../store/collect.ts';
import { type Command, configOption, exitCodes, json, jsonOption, UsageError } from './command.ts';
import { startProgress } from './progress.ts';

const usualGrace = '24h';
const longestList = 20;

export const command: Command = {
  name: 'gc',
  summary: 'Finds stored bytes that nothing refers to, and what refers to none; deletes them only if told so.',
  details:
    'With --delete, what is found is moved to the trash, where a later run deletes it once it has been there for the grace\nperiod as well. May run beside the server.',
  options: {
    config: configOption,
    delete: { type: 'boolean', description: 'Really do it; otherwise it is only told.' },
    grace: {
      type: 'string',
      value: 'DURATION',
      description: `Leave alone what is younger; ${usualGrace} unless given.`,
    },
    json: jsonOption,
  },
  async run(input) {
    const { say, environment } = input;
    const grace = input.text('grace') ?? usualGrace;
    const graceMs = parseDuration(grace);
    if (graceMs === undefined) throw new UsageError(`--grace ${grace} is no duration; write such as 24h or 7d`);
    const config = await loadConfig(input.text('config'), environment);
    const dryRun = !input.flag('delete');
    const progress = startProgress('Collecting');
    const report = await collect({
      ...config.storage,
      index: config.index,
      graceMs,
      dryRun,
      onProgress: progress.show,
    }).finally(() => progress.end());
    if (input.flag('json')) say(json({ storage: config.storage.path, dryRun, ...report }));
    else tell(report, dryRun, say);
    return exitCodes.done;
  },
};

function tell(report: Awaited<ReturnType<typeof collect>>, dryRun: boolean, say: (text: string) => void): void {
  const { unreferenced, young, checked, dangling } = report;
  for (const { digest, sizeBytes, ageMs } of unreferenced.slice(0, longestList)) {
    say(`${digest}  ${formatSize(sizeBytes)}  ${Math.floor(ageMs / 3_600_000)} h old`);
  }
  if (unreferenced.length > longestList) say(`and ${unreferenced.length - longestList} more; --json lists them all`);
  const bytes = unreferenced.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  say(`${unreferenced.length} of ${checked} objects, ${formatSize(bytes)}, are referred to by nothing.`);
  if (young > 0) say(`${young} more are younger than the grace period.`);
  if (dangling > 0) say(`${dangling} entries are of bytes that were evicted.`);
  if (dryRun) {
    if (unreferenced.length > 0) say('Nothing was changed. larder gc --delete moves them to the trash.');
    else if (dangling > 0) say('Nothing was changed. larder gc --delete forgets them.');
    return;
  }
  say(`${report.trashed} moved to the trash, ${formatSize(report.trashedBytes)}.`);
  say(`${report.deleted} deleted from the trash, ${formatSize(report.freedBytes)} freed.`);
  if (report.forgotten > 0) say(`${report.forgotten} entries forgotten.`);
}
