/** Finds the command that is meant and runs it. */
import { ConfigError } from '../config/mistakes.ts';
import { guess } from '../config/suggest.ts';
import { version } from '../version.ts';
import { type Command, exitCodes, helpOf, parse, type Surroundings, UsageError } from './command.ts';

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
}

const commands: Readonly<Record<string, Entry>> = {
  serve: { summary: 'Start the server.', load: () => import('./serve.ts') },
  check: { summary: 'Check the configuration and say what would run.', load: () => import('./check.ts') },
  health: { summary: 'Ask the server on this machine whether it answers.', load: () => import('./health.ts') },
  verify: { summary: 'Compare everything stored with its digests.', load: () => import('./verify.ts') },
  gc: { summary: 'Find stored bytes that nothing refers to.', load: () => import('./gc.ts') },
  token: { summary: 'Create, list and revoke tokens.', load: () => import('./token.ts') },
  whoami: { summary: 'Ask a server whose a token is.', load: () => import('./whoami.ts') },
  explain: { summary: 'Ask a server which sources it asks about a name, and why.', load: () => import('./explain.ts') },
  export: { summary: 'Write what is stored as a bundle for another server.', load: () => import('./export.ts') },
  import: { summary: 'Take a bundle in.', load: () => import('./import.ts') },
  diff: { summary: 'Say what one bundle or server has and another lacks.', load: () => import('./diff.ts') },
  inventory: { summary: 'Write down what is stored, for an export elsewhere.', load: () => import('./inventory.ts') },
  keys: { summary: 'Make and trust the keys of bundles.', load: () => import('./keys.ts') },
  warm: { summary: 'Fetch everything that lockfiles name.', load: () => import('./warm.ts') },
  coverage: { summary: 'Say what of a lockfile would build from here.', load: () => import('./coverage.ts') },
  missing: { summary: 'List what was asked for in vain while offline.', load: () => import('./missing.ts') },
  record: { summary: 'Run a build and record what it asks for.', load: () => import('./record.ts') },
  setup: { summary: "Print or write a client's settings.", load: () => import('./setup.ts') },
};

const help = `Larder ${version}: a caching proxy for package registries.

Usage: larder COMMAND [OPTIONS]

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(9)} ${summary}`)
  .join('\n')}

larder COMMAND --help says more. Exit codes: 0 done, 1 failed, 2 configuration or usage, 3 partly done.`;

/** Resolves to the exit code, whatever happens. */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  try {
    return await dispatch(args, surroundings);
  } catch (error) {
    return tell(error, surroundings);
  }
}

async function dispatch(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { say, warn } = surroundings;
  const [name, ...rest] = args;
  if (name === '--version' || name === '-v') {
    say(version);
    return exitCodes.done;
  }
  if (name === undefined || name === '--help' || name === '-h' || (name === 'help' && rest.length === 0)) {
    if (name !== undefined) say(help);
    else warn(help);
    return name === undefined ? exitCodes.usage : exitCodes.done;
  }
  if (name === 'help') return dispatch([...rest, '--help'], surroundings);
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!entry) throw new UsageError(unknownCommand(name));
  const { command } = await entry.load();
  // What stands behind -- is another program's.
  const own = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
  if (own.includes('--help') || own.includes('-h')) {
    say(helpOf(command).trimEnd());
    return exitCodes.done;
  }
  return command.run(parse(command, rest, surroundings));
}

function unknownCommand(name: string): string {
  const near = guess(name, Object.keys(commands));
  return `there is no command "${name}"${near || `; there is ${Object.keys(commands).join(', ')}`}`;
}

/** One line each, with what to do; nobody can act on a stack. */
function tell(error: unknown, { warn, environment }: Surroundings): number {
  if (error instanceof ConfigError) {
    warn(error.message);
    return exitCodes.usage;
  }
  const message = error instanceof Error ? error.message : String(error);
  warn(`larder: ${message.split('\n', 1)[0]}`);
  if (environment.LARDER_DEBUG && error instanceof Error && error.stack) warn(error.stack);
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
}
