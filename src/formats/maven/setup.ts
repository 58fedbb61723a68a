/** Settings of the clients that resolve from Maven repositories. */
import {
  type ClientSetup,
  isPlainRemote,
  type Setting,
  type SettingsFile,
  type SetupTarget,
} from '../../core/client-setup.ts';

/** Its `id` ties a mirror and its credentials together. */
const id = 'larder';

function maven({ url, tokenVariable }: SetupTarget): SettingsFile[] {
  const mirror: Setting = {
    table: 'settings/mirrors',
    key: `mirror#${id}`,
    value: { name: 'Larder', mirrorOf: '*', url: `${url}/` },
  };
  const server = (variable: string): Setting => ({
    table: 'settings/servers',
    key: `server#${id}`,
    value: { username: 'token', password: `\${env.${variable}}` },
  });
  return [
    {
      user: () => '.m2/settings.xml',
      syntax: 'xml',
      settings: [mirror, ...(tokenVariable === undefined ? [] : [server(tokenVariable)])],
    },
  ];
}

function mavenNotes(target: SetupTarget): string[] {
  return [
    'A mirror of one repository alone (<mirrorOf>central</mirrorOf>) goes before a mirror of all; take such ones out.',
    ...(target.tokenVariable === undefined
      ? []
      : [`Mirrors are for reading. To publish there: mvn deploy -DaltDeploymentRepository=${id}::${target.url}`]),
    ...withoutTls(target),
  ];
}

/**
 * Maven's own blocker of plain http (3.8.1) is for the repositories that builds name; a mirror in the user's settings comes before it
 * (tried with 3.8.7).
 */
function withoutTls({ url }: SetupTarget): string[] {
  return isPlainRemote(url) ? ['Without TLS anybody on the way can change what is built.'] : [];
}

function groovy(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`;
}

/** Groovy for every Gradle from 4.4 to 9. What is newer than 4.4 is looked for before it is used. */
function initScript({ url, tokenVariable }: SetupTarget): string {
  const credentials =
    tokenVariable === undefined
      ? []
      : [
          `        repository.credentials { it.username = 'token'; it.password = System.getenv(${groovy(tokenVariable)}) }`,
          "        repository.authentication { it.create('basic', BasicAuthentication) }",
        ];
  // Gradle 7 and later refuse plain http, except from 127.0.0.1, unless they are told.
  const plain = url.startsWith('http:')
    ? ["        if (repository.hasProperty('allowInsecureProtocol')) repository.allowInsecureProtocol = true"]
    : [];
  return [
    `def address = new URI(${groovy(`${url}/`)})`,
    '',
    "// Larder instead of every repository that is not on this machine's disk.",
    'def replace = { repositories ->',
    '    repositories.all { repository ->',
    "        def there = repository.hasProperty('url') ? repository.url : null",
    "        def remote = there != null && there.scheme != null && there.scheme != 'file'",
    '        if (remote && there != address) repositories.remove(repository)',
    '    }',
    '    repositories.maven { repository ->',
    "        repository.name = 'Larder'",
    '        repository.url = address',
    ...plain,
    ...credentials,
    '    }',
    '}',
    '',
    '// Settings have plugins of their own since Gradle 6, which come before they are evaluated.',
    "if (GradleVersion.current() >= GradleVersion.version('6.0')) {",
    '    gradle.beforeSettings { settings ->',
    '        replace(settings.buildscript.repositories)',
    '        settings.pluginManagement { replace(it.repositories) }',
    "        if (settings.hasProperty('dependencyResolutionManagement')) {",
    '            replace(settings.dependencyResolutionManagement.repositories)',
    '        }',
    '    }',
    '} else {',
    '    gradle.settingsEvaluated { settings -> settings.pluginManagement { replace(it.repositories) } }',
    '}',
    '',
    '// Projects may be forbidden to have any.',
    'def ofProjects = true',
    'gradle.settingsEvaluated { settings ->',
    "    if (settings.hasProperty('dependencyResolutionManagement')) {",
    "        ofProjects = settings.dependencyResolutionManagement.repositoriesMode.get().name() == 'PREFER_PROJECT'",
    '    }',
    '}',
    'gradle.allprojects { project ->',
    '    replace(project.buildscript.repositories)',
    '    if (ofProjects) replace(project.repositories)',
    '}',
    '',
  ].join('\n');
}

function gradle(target: SetupTarget): SettingsFile[] {
  return [
    {
      user: ({ GRADLE_USER_HOME }) => `${GRADLE_USER_HOME || '.gradle'}/init.d/larder.gradle`,
      syntax: 'whole',
      comment: '//',
      text: `import org.gradle.util.GradleVersion\n\n${initScript(target)}`,
    },
  ];
}

function gradleNotes(target: SetupTarget): string[] {
  return [
    'A build that ties groups to a repository with exclusiveContent has to name Larder there itself.',
    ...withoutTls(target),
  ];
}

/** The launcher refuses plain http without that word, wherever it leads. */
function sbt({ url }: SetupTarget): SettingsFile[] {
  const plain = url.startsWith('http:') ? ', allowInsecureProtocol' : '';
  return [
    {
      user: () => '.sbt/repositories',
      syntax: 'whole',
      comment: '#',
      text: `[repositories]\n  local\n  ${id}: ${url}/${plain}\n`,
    },
  ];
}

function sbtNotes(target: SetupTarget): string[] {
  const { tokenVariable } = target;
  const { hostname } = new URL(target.url);
  return [
    'Resolvers that a build names go past it unless sbt is told otherwise: export SBT_OPTS="-Dsbt.override.build.repos=true"',
    ...(tokenVariable === undefined
      ? []
      : [
          'sbt takes credentials from a file, which SBT_CREDENTIALS names for the launcher and the build alike:',
          `(umask 077; printf 'realm=Larder\\nhost=${hostname}\\nuser=token\\npassword=%s\\n' "$${tokenVariable}" > ~/.sbt/.credentials)`,
          'export SBT_CREDENTIALS="$HOME/.sbt/.credentials"',
        ]),
    ...withoutTls(target),
  ];
}

export const setups: readonly ClientSetup[] = [
  { client: 'maven', title: 'Maven', files: maven, notes: mavenNotes },
  { client: 'gradle', title: 'Gradle', files: gradle, notes: gradleNotes },
  { client: 'sbt', title: 'sbt', files: sbt, notes: sbtNotes },
];
