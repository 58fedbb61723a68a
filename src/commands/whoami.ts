import type { WhoAmI } from '../access/access.ts';
import { askServer, tokenOption, urlOption } from './ask-server.ts';
import { type Command, configOption, exitCodes, json, jsonOption } from './command.ts';

export const command: Command = {
  name: 'whoami',
  summary: 'Asks a server whose a token is and what it is limited to.',
  details:
    'The token comes from --token, else from the environment variable LARDER_TOKEN. Exits with 1 if it does not count.',
  options: {
    config: configOption,
    url: urlOption,
    token: tokenOption,
    json: jsonOption,
  },
  async run(input) {
    const { say } = input;
    const who = await askServer<WhoAmI>(input, '/api/v1/whoami');
    if (input.flag('json')) say(json(who));
    else for (const line of told(who)) say(line);
    return exitCodes.done;
  },
};

function told({ kind, name, org, teams, token, limits, expiresAt, claims }: WhoAmI): string[] {
  if (kind === 'anonymous') return ['Nobody: no token was shown.'];
  const limited = token ?? limits;
  const words = { user: 'user', service: 'service account', ci: 'CI job' }[kind];
  return [
    `${name} (${words}${org === undefined ? '' : ` of ${org}`})`,
    ...(teams && teams.length > 0 ? [`Teams         ${teams.join(', ')}`] : []),
    ...(token ? [`Token         ${token.id}${token.description === undefined ? '' : ` (${token.description})`}`] : []),
    ...(limited
      ? [
          `May           ${limited.may.join(', ')}`,
          `Repositories  ${limited.repositories?.join(', ') ?? 'all'}`,
          `Names         ${limited.names?.join(', ') ?? 'all'}`,
        ]
      : []),
    `Expires       ${expiresAt ?? 'never'}`,
    ...Object.entries(claims ?? {}).map(([claim, value]) => `${claim.padEnd(13)} ${value}`),
  ];
}
