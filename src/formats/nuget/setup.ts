/** Settings of the clients that restore from NuGet feeds. */
import { type ClientSetup, isPlainRemote, type SettingsFile, type SetupTarget } from '../../core/client-setup.ts';

const name = 'larder';

/** Settings are attributes of elements without a name of their own; the client itself is the one that edits them. */
const noFiles = (): SettingsFile[] => [];

function credentials({ tokenVariable }: SetupTarget, clearText: string, types: string): string {
  if (tokenVariable === undefined) return '';
  return ` --username token --password "$${tokenVariable}" ${clearText} ${types}`;
}

function dotnet(target: SetupTarget): string[] {
  const { url } = target;
  // SDK 9 and later refuse plain http wherever it leads.
  const plain = url.startsWith('http:') ? ' --allow-insecure-connections' : '';
  const shown = credentials(target, '--store-password-in-clear-text', '--valid-authentication-types basic');
  return [
    `dotnet nuget add source ${url}/v3/index.json --name ${name} --protocol-version 3${plain}${shown}`,
    'dotnet nuget remove source nuget.org',
    'A nuget.config in a project or above it counts more: there <packageSources> begins with <clear/> and names Larder alone.',
    `With more than one source, say which ids come from where: <packageSourceMapping><packageSource key="${name}"><package pattern="*"/></packageSource></packageSourceMapping>`,
    ...publishing(target, (token) => `dotnet nuget push PACKAGE.nupkg --source ${name} --api-key "$${token}"`),
    ...withoutTls(target),
  ];
}

/** For whoever has a token at all. */
function publishing({ tokenVariable }: SetupTarget, command: (token: string) => string): string[] {
  return tokenVariable === undefined
    ? []
    : [`To publish, where the repository takes packages: ${command(tokenVariable)}`];
}

/** nuget.exe from version 3 on; the second one, as Debian has it, reads the second version of the protocol. */
function nuget(target: SetupTarget): string[] {
  const { url, tokenVariable } = target;
  const shown =
    tokenVariable === undefined
      ? ''
      : ` -UserName token -Password "$${tokenVariable}" -StorePasswordInClearText -ValidAuthenticationTypes basic`;
  return [
    `nuget sources Add -Name ${name} -Source ${url}/v3/index.json${shown}`,
    'nuget sources Disable -Name nuget.org',
    `Before version 3 the source is ${url}/v2/`,
    ...publishing(target, (token) => `nuget push PACKAGE.nupkg "$${token}" -Source ${name}`),
    ...withoutTls(target),
  ];
}

function chocolatey(target: SetupTarget): string[] {
  const { url, tokenVariable } = target;
  const shown = tokenVariable === undefined ? '' : ` --user=token --password="$env:${tokenVariable}"`;
  return [
    `choco source add --name=${name} --source=${url}/v2/${shown}`,
    'choco source disable --name=chocolatey',
    ...publishing(target, (token) => `choco push PACKAGE.nupkg --source=${url}/v2/ --api-key="$env:${token}"`),
    ...withoutTls(target),
  ];
}

function withoutTls({ url }: SetupTarget): string[] {
  return isPlainRemote(url) ? ['Without TLS anybody on the way can change what is built.'] : [];
}

export const setups: readonly ClientSetup[] = [
  { client: 'dotnet', title: 'dotnet', files: noFiles, notes: dotnet },
  { client: 'nuget', title: 'nuget.exe', files: noFiles, notes: nuget },
  { client: 'choco', title: 'Chocolatey', files: noFiles, notes: chocolatey },
];
