import type { ExplainedSource, Explanation } from '../pipeline/explain.ts';
import { askServer, tokenOption, urlOption } from './ask-server.ts';
import { type Command, configOption, exitCodes, json, jsonOption, UsageError } from './command.ts';

export const command: Command = {
  name: 'explain',
  positionals: 'ORG/REPOSITORY NAME',
  summary: 'Asks a server which sources it asks about a name and which it does not, and why.',
  details:
    'NAME is a package as its clients name it: @acme/web, com.acme:lib, library/alpine. The answer is for whoever\nthe token belongs to, for others hear of other things; it comes from --token, else from LARDER_TOKEN.',
  options: { config: configOption, url: urlOption, token: tokenOption, json: jsonOption },
  async run(input) {
    const [id = '', name, ...more] = input.positionals;
    const [org, repository] = id.split('/');
    if (!org || !repository || name === undefined || more.length > 0) {
      throw new UsageError('explain needs a repository and a name: larder explain acme/npm @acme/web');
    }
    const path = `/api/v1/orgs/${encodeURIComponent(org)}/repositories/${encodeURIComponent(repository)}/explain`;
    const told = await askServer<Explanation>(input, `${path}?name=${encodeURIComponent(name)}`);
    if (input.flag('json')) input.say(json(told));
    else for (const line of lines(told)) input.say(line);
    return exitCodes.done;
  },
};

function lines({ repository, name, may, sources }: Explanation): string[] {
  return [
    `${name} in ${repository}: you may ${may.join(', ') || 'do nothing'}.`,
    ...sources.flatMap((source) => sourceLines(source, 1)),
  ];
}

function sourceLines({ source, asked, why, inner = [] }: ExplainedSource, depth: number): string[] {
  const line = `${'  '.repeat(depth)}${asked ? 'asked    ' : 'not asked'}  ${source}: ${why}`;
  return [line, ...inner.flatMap((one) => sourceLines(one, depth + 1))];
}
