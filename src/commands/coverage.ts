import { warm } from '../jobs/warm.ts';
import { version } from '../version.ts';
import { serverOf, tokenOption, urlOption } from './ask-server.ts';
import { type Command, configOption, exitCodes, json, jsonOption } from './command.ts';
import {
  concurrencyIn,
  concurrencyOption,
  needsOf,
  platformOption,
  repositoryOption,
  resolveOption,
  sizeText,
} from './needs.ts';
import { startProgress } from './progress.ts';

export const command: Command = {
  name: 'coverage',
  positionals: 'FILE…',
  summary: 'Says what of a lockfile would and would not build from what a server has stored.',
  details: `Asks for what larder warm would ask for, and takes only what is stored: no upstream hears of it. Exits with 0 if
everything is there with the digests that the lockfile names, else with 3 and a list.`,
  options: {
    config: configOption,
    url: urlOption,
    token: tokenOption,
    repository: repositoryOption,
    platform: platformOption,
    resolve: resolveOption,
    concurrency: concurrencyOption,
    json: jsonOption,
  },
  async run(input) {
    const { say } = input;
    const { url, token } = await serverOf(input);
    const concurrency = concurrencyIn(input);
    const needs = await needsOf(input, url, token);
    const progress = startProgress('looking');
    const warmed = await warm(needs.tasks, {
      token,
      userAgent: `larder-coverage/${version}`,
      concurrency,
      onlyStored: true,
      further: input.flag('resolve'),
      tell: progress.show,
    }).finally(() => progress.end());
    const missing = warmed.tasks.filter(({ outcome }) => outcome === 'failed');
    const there = warmed.tasks.length - missing.length;
    const { skipped, notes } = needs;
    if (input.flag('json')) {
      const told = missing.map(({ task: { what, from, repository, optional }, failures }) => ({
        what,
        from,
        ...(repository === '' ? {} : { repository }),
        ...(optional ? { optional } : {}),
        failures,
      }));
      say(json({ there, missing: told, skipped, notes, bytes: warmed.bytes.there }));
    } else {
      say(`${there} of ${warmed.tasks.length} would be had from here (${sizeText(warmed.bytes.there)}).`);
      for (const { task, failures } of missing) {
        const [first] = failures;
        const more = failures.length > 1 ? `, and ${failures.length - 1} more` : '';
        const without = task.optional ? ' (the build can do without)' : '';
        say(
          `missing  ${task.what}${without}: ${first?.path === undefined ? '' : `/${first.path}: `}${first?.why}${more}`,
        );
        say(`         ${task.from}`);
      }
      for (const { what, why, from } of skipped) say(`skipped  ${what}: ${why}\n         ${from}`);
      for (const note of notes) say(`note     ${note}`);
    }
    return missing.some(({ task }) => !task.optional) ? exitCodes.partly : exitCodes.done;
  },
};
