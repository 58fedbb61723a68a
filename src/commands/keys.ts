import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createKey, type PublicKey, publicKeyFile } from '../bundles/keys.ts';
import { loadConfig } from '../config/load.ts';
import { keyPaths, publicKeyOf, trustedKeys } from './bundling.ts';
import { type Command, configOption, exitCodes, type Input, json, jsonOption, UsageError } from './command.ts';

export const command: Command = {
  name: 'keys',
  positionals: 'create | list | trust KEY | distrust ID',
  summary: 'Makes the key that bundles are signed with, and says whose bundles are taken in.',
  details:
    'create writes a secret key, for larder export, and a public one beside it; bring the public one to the other side and\ntrust it there. KEY is such a .pub file, or the text in it; those of minisign are taken too.',
  options: {
    config: configOption,
    output: {
      type: 'string',
      short: 'o',
      value: 'FILE',
      description: 'Of the secret key; else keys/bundle.key in the data folder.',
    },
    json: jsonOption,
  },
  async run(input) {
    const [what, given, ...more] = input.positionals;
    if (more.length > 0) throw new UsageError(`keys ${what} takes one argument`);
    const { storage } = await loadConfig(input.text('config'), input.environment);
    switch (what) {
      case 'create':
        if (given !== undefined) throw new UsageError('keys create takes no argument; -o FILE says where to');
        return create(input, input.text('output') ?? keyPaths(storage.path).secret);
      case 'list':
        return list(input, await trustedKeys(storage.path));
      case 'trust':
        if (given === undefined)
          throw new UsageError('keys trust needs a public key: larder keys trust bundle.key.pub');
        return trust(input, keyPaths(storage.path).trusted, await publicKeyOf(given));
      case 'distrust':
        if (given === undefined) throw new UsageError('keys distrust needs an id; larder keys list tells them');
        return distrust(input, keyPaths(storage.path).trusted, given);
      default:
        throw new UsageError('keys needs one of create, list, trust, distrust');
    }
  },
};

async function create(input: Input, path: string): Promise<number> {
  const { secret, pem } = createKey();
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  try {
    await writeFile(path, pem, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error;
    throw new UsageError(`there is a key at ${path} already; it is not replaced`);
  }
  await writeFile(`${path}.pub`, publicKeyFile(secret.public));
  const { id, text } = secret.public;
  if (input.flag('json')) input.say(json({ id, publicKey: text, secretFile: path, publicFile: `${path}.pub` }));
  else {
    input.say(`Key ${id}: the secret one is in ${path}, the public one in ${path}.pub.`);
    input.say(`On the other side: larder keys trust ${text}`);
  }
  return exitCodes.done;
}

function list(input: Input, keys: readonly PublicKey[]): number {
  if (input.flag('json')) input.say(json(keys.map(({ id, text }) => ({ id, publicKey: text }))));
  else if (keys.length === 0) input.say('No key is trusted: bundles are taken in only with --trust KEY or --unsigned.');
  else for (const { id, text } of keys) input.say(`${id}  ${text}`);
  return exitCodes.done;
}

async function trust(input: Input, folder: string, key: PublicKey): Promise<number> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, `${key.id}.pub`), publicKeyFile(key));
  input.say(`Bundles signed by ${key.id} are taken in from now on.`);
  return exitCodes.done;
}

async function distrust(input: Input, folder: string, id: string): Promise<number> {
  if (!/^[0-9A-F]{16}$/i.test(id)) throw new UsageError(`${id} is no id of a key; larder keys list tells them`);
  try {
    await rm(join(folder, `${id.toUpperCase()}.pub`));
  } catch {
    throw new UsageError(`no key ${id} was trusted; larder keys list tells those that are`);
  }
  input.say(`Bundles signed by ${id.toUpperCase()} are not taken in any more.`);
  return exitCodes.done;
}
