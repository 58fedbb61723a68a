import { askServer, tokenOption, urlOption } from './ask-server.ts';
import { type Command, configOption, exitCodes, json, jsonOption } from './command.ts';

/** As `GET /api/v1/orgs/{org}/missing` tells it. */
interface Thing {
  readonly repository: string;
  readonly path: string;
  readonly accept?: string;
  readonly count: number;
  readonly firstAt: string;
  readonly lastAt: string;
}

/** By which `larder warm` knows such a list. */
export const missingHeading = '# larder missing 1';

export const command: Command = {
  name: 'missing',
  summary: 'Lists what was asked for in vain while offline, as a list that larder warm takes on a connected server.',
  details:
    'Needs the token of somebody who administers the organisation, from --token or LARDER_TOKEN. Of several organisations\nthose are listed that the token administers.\n\n  larder missing > missing.txt\n  larder warm missing.txt        on the connected side',
  options: {
    config: configOption,
    url: urlOption,
    token: tokenOption,
    org: { type: 'string', value: 'ORG', description: 'Only of this organisation.' },
    clear: { type: 'boolean', description: 'Forget it, once it is listed.' },
    json: jsonOption,
  },
  async run(input) {
    const chosen = input.text('org');
    const orgs = chosen === undefined ? await administered() : [chosen];
    const things: Thing[] = [];
    for (const org of orgs) things.push(...(await askServer<{ items: Thing[] }>(input, pathOf(org))).items);
    if (input.flag('json')) input.say(json(things));
    else for (const line of missingLines(things)) input.say(line);
    if (input.flag('clear')) for (const org of orgs) await askServer(input, pathOf(org), 'DELETE');
    return exitCodes.done;

    async function administered(): Promise<string[]> {
      const { items } = await askServer<{ items: { name: string; administrator: boolean }[] }>(input, '/api/v1/orgs');
      const own = items.filter(({ administrator }) => administrator).map(({ name }) => name);
      if (own.length > 0) return own;
      throw new Error('you administer no organisation there: show the token of an administrator in LARDER_TOKEN');
    }
  },
};

const pathOf = (org: string): string => `/api/v1/orgs/${encodeURIComponent(org)}/missing`;

/** Tabs between repository, raw path, and what was accepted where the answer depends on it. */
export function missingLines(things: readonly Thing[]): string[] {
  return [
    missingHeading,
    ...things.map(({ repository, path, accept }) =>
      [repository, path, ...(accept === undefined ? [] : [accept])].join('\t'),
    ),
  ];
}
