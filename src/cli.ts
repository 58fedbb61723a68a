/** `larder COMMAND`. Exit codes: 0 done, 1 failed, 2 configuration or usage, 3 partly done. */
import { type Command, exitCodes, helpOf, parse, say, UsageError } from './commands/command.ts';
import { ConfigError } from './config/mistakes.ts';
import { guess } from './config/suggest.ts';
import { version } from './version.ts';

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
}

const commands: Readonly<Record<string, Entry>> = {
  serve: { summary: 'Start the server.', load: () => import('./commands/serve.ts') },
  check: { summary: 'Check the configuration and say what would run.', load: () => import('./commands/check.ts') },
  verify: { summary: 'Compare everything stored with its digests.', load: () => import('./commands/verify.ts') },
  gc: { summary: 'Find stored bytes that nothing refers to.', load: () => import('./commands/gc.ts') },
  setup: { summary: "Print or write a client's settings.", load: () => import('./commands/setup.ts') },
};

const later = ['token', 'warm', 'export', 'import', 'explain'];

const help = `Larder ${version}: a caching proxy for package registries.

Usage: larder COMMAND [OPTIONS]

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`)
  .join('\n')}

larder COMMAND --help says more. Exit codes: 0 done, 1 failed, 2 configuration or usage, 3 partly done.`;

async function run(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === '--version' || name === '-v') {
    say(version);
    return exitCodes.done;
  }
  if (name === undefined || name === '--help' || name === '-h' || (name === 'help' && rest.length === 0)) {
    if (name !== undefined) say(help);
    else process.stderr.write(`${help}\n`);
    return name === undefined ? exitCodes.usage : exitCodes.done;
  }
  if (name === 'help') return run([...rest, '--help']);
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!entry) throw new UsageError(unknownCommand(name));
  const { command } = await entry.load();
  if (rest.includes('--help') || rest.includes('-h')) {
    say(helpOf(command).trimEnd());
    return exitCodes.done;
  }
  return command.run(parse(command, rest));
}

function unknownCommand(name: string): string {
  if (later.includes(name)) return `"${name}" is not available in this release`;
  const near = guess(name, Object.keys(commands));
  return `there is no command "${name}"${near || `; there is ${Object.keys(commands).join(', ')}`}`;
}

/** One line each, with what to do; nobody can act on a stack. */
function tell(error: unknown): number {
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`);
    return exitCodes.usage;
  }
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`larder: ${message.split('\n', 1)[0]}\n`);
  if (process.env.LARDER_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
}

// Whoever reads our output may stop reading, as head does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.done);
  throw error;
});

process.exitCode = await run(process.argv.slice(2)).catch(tell);
