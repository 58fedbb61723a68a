/** Settings of the clients that install and publish Python packages. */
import {
  type ClientSetup,
  isPlainRemote,
  type Setting,
  type SettingsFile,
  type SetupTarget,
} from '../../core/client-setup.ts';

const indexOf = ({ url }: Pick<SetupTarget, 'url'>): string => `${url}/simple/`;
const uploadsOf = ({ url }: Pick<SetupTarget, 'url'>): string => `${url}/legacy/`;

/** Without a port: pip takes a host alone for all of its ports. */
function trusted({ url }: SetupTarget): Setting[] {
  if (!isPlainRemote(url)) return [];
  return [{ table: 'global', key: 'trusted-host', value: new URL(url).hostname }];
}

/** Also read by what calls pip: pipx, virtualenv, build, tox. */
function pip(target: SetupTarget): SettingsFile[] {
  return [
    {
      user: ({ PIP_CONFIG_FILE, XDG_CONFIG_HOME }) => PIP_CONFIG_FILE || `${XDG_CONFIG_HOME || '.config'}/pip/pip.conf`,
      syntax: 'ini',
      settings: [{ table: 'global', key: 'index-url', value: indexOf(target) }, ...trusted(target)],
    },
  ];
}

/** The address with credentials in it, as a shell puts it together. */
function withToken(target: SetupTarget): string {
  const { protocol } = new URL(target.url);
  const rest = indexOf(target).slice(`${protocol}//`.length);
  return `${protocol}//__token__:$${target.tokenVariable}@${rest}`;
}

function pipNotes(target: SetupTarget): string[] {
  return [
    'An extra-index-url or find-links that is set somewhere goes on being asked as well, and the highest version wins; pip config list shows them.',
    ...(target.tokenVariable === undefined
      ? []
      : [
          'Its file would hold the token itself, so pip takes it from the environment:',
          `export PIP_INDEX_URL="${withToken(target)}"`,
        ]),
    ...withoutTls(target),
  ];
}

function withoutTls({ url }: SetupTarget): string[] {
  return isPlainRemote(url) ? ['Without TLS anybody on the way can change what is installed.'] : [];
}

/** Its settings of lists of indexes are none of single keys, and a file in a project's folder would hide the project's own. */
function uv(target: SetupTarget): SettingsFile[] {
  const { url, tokenVariable } = target;
  const lines = [
    '[[index]]',
    'name = "larder"',
    `url = ${JSON.stringify(indexOf({ url }))}`,
    'default = true',
    ...(tokenVariable === undefined
      ? []
      : [`publish-url = ${JSON.stringify(uploadsOf({ url }))}`, 'authenticate = "always"']),
    '',
  ];
  return [
    {
      user: ({ XDG_CONFIG_HOME }) => `${XDG_CONFIG_HOME || '.config'}/uv/uv.toml`,
      syntax: 'whole',
      comment: '#',
      text: lines.join('\n'),
    },
  ];
}

function uvNotes(target: SetupTarget): string[] {
  const { tokenVariable } = target;
  return [
    'A project that names an index as its default keeps it: take [[tool.uv.index]] with default = true out of its pyproject.toml.',
    ...(tokenVariable === undefined
      ? []
      : [
          `export UV_INDEX_LARDER_USERNAME=__token__ UV_INDEX_LARDER_PASSWORD="$${tokenVariable}"`,
          'To publish: uv publish --index larder, with',
          `export UV_PUBLISH_TOKEN="$${tokenVariable}"`,
        ]),
    ...withoutTls(target),
  ];
}

function poetryNotes(target: SetupTarget): string[] {
  return [
    'Poetry has sources in each project only. In its folder:',
    `poetry source add --priority=primary larder ${indexOf(target)}`,
    'Before Poetry 1.5: poetry source add --default instead of --priority=primary.',
    ...(target.tokenVariable === undefined
      ? []
      : [
          `export POETRY_HTTP_BASIC_LARDER_USERNAME=__token__ POETRY_HTTP_BASIC_LARDER_PASSWORD="$${target.tokenVariable}"`,
          'To publish, with the same token: poetry publish --repository larder, after',
          `poetry config repositories.larder ${uploadsOf(target)}`,
        ]),
    ...withoutTls(target),
  ];
}

/** Stands in for PyPI in every project that does not name a source called `pypi` of its own. */
function pdm(target: SetupTarget): SettingsFile[] {
  return [
    {
      user: ({ XDG_CONFIG_HOME }) => `${XDG_CONFIG_HOME || '.config'}/pdm/config.toml`,
      syntax: 'toml',
      settings: [{ table: 'pypi', key: 'url', value: indexOf(target) }],
    },
  ];
}

function pdmNotes(target: SetupTarget): string[] {
  return [
    ...(target.tokenVariable === undefined
      ? []
      : [
          `export PDM_PYPI_URL="${withToken(target)}"`,
          `To publish: pdm publish --repository ${uploadsOf(target)} with`,
          `export PDM_PUBLISH_USERNAME=__token__ PDM_PUBLISH_PASSWORD="$${target.tokenVariable}"`,
        ]),
    ...withoutTls(target),
  ];
}

/** Its file would hold the token itself, and has a list of servers of which it knows no other. */
function twineNotes(target: SetupTarget): string[] {
  return [
    'Its file would hold the token itself, so twine takes everything from the environment:',
    `export TWINE_REPOSITORY_URL=${uploadsOf(target)} TWINE_USERNAME=__token__`,
    ...(target.tokenVariable === undefined ? [] : [`export TWINE_PASSWORD="$${target.tokenVariable}"`]),
    ...withoutTls(target),
  ];
}

export const setups: readonly ClientSetup[] = [
  { client: 'pip', title: 'pip, and what calls it', files: pip, notes: pipNotes },
  { client: 'uv', title: 'uv', files: uv, notes: uvNotes },
  { client: 'poetry', title: 'Poetry', files: () => [], notes: poetryNotes },
  { client: 'pdm', title: 'PDM', files: pdm, notes: pdmNotes },
  { client: 'twine', title: 'twine, which publishes', files: () => [], notes: twineNotes },
];
