import { format } from '../../src/formats/nuget/index.ts';
import { conformance } from '../conformance/format.ts';
import { documents } from './nuget.samples.ts';

conformance(format, {
  documents,
  examples: {
    root: ['/'],
    'service-index': ['/v3/index.json'],
    versions: ['/v3/flat/newtonsoft.json/index.json', '/v3/flat/Newtonsoft.Json/index.json'],
    nupkg: [
      '/v3/flat/newtonsoft.json/13.0.3/newtonsoft.json.13.0.3.nupkg',
      '/v3/flat/Newtonsoft.Json/13.0.3.0/Newtonsoft.Json.13.0.3.nupkg',
    ],
    nuspec: ['/v3/flat/newtonsoft.json/13.0.3/newtonsoft.json.nuspec'],
    icon: ['/v3/flat/newtonsoft.json/13.0.3/icon'],
    readme: ['/v3/flat/newtonsoft.json/13.0.3/readme'],
    search: ['/v3/search', '/v3/search?q=json&skip=0&take=26&prerelease=true&semVerLevel=2.0.0'],
    autocomplete: ['/v3/autocomplete?q=newt', '/v3/autocomplete?id=Newtonsoft.Json&prerelease=true'],
    vulnerabilities: ['/v3/vulnerabilities/index.json'],
    'vulnerability-page': ['/v3/vulnerabilities/base-0123456789abcdef.json'],
    'repository-signatures': ['/v3/repository-signatures/index.json'],
    registration: [
      '/v3/registration/newtonsoft.json/index.json',
      '/v3/registration-gz/Newtonsoft.Json/index.json',
      '/v3/registration-semver2/newtonsoft.json/index.json',
    ],
    'registration-page': ['/v3/registration-semver2/newtonsoft.json/page/3.5.8/13.0.3.json'],
    'registration-leaf': ['/v3/registration-semver2/newtonsoft.json/13.0.3.json'],
    'v2-root': ['/v2'],
    'v2-root-slash': ['/v2/'],
    'v2-metadata': ['/v2/$metadata', '/v2/%24metadata'],
    'v2-find': [
      "/v2/FindPackagesById()?id='Newtonsoft.Json'&semVerLevel=2.0.0",
      '/v2/FindPackagesById%28%29?id=%27Newtonsoft.Json%27&$skip=0&$top=40',
    ],
    'v2-packages': [
      "/v2/Packages(Id='Newtonsoft.Json',Version='13.0.3')",
      "/v2/Packages()?$filter=tolower(Id)%20eq%20'x'",
      '/v2/Packages',
    ],
    'v2-search': [
      "/v2/Search()?$filter=IsLatestVersion&searchTerm='json'&targetFramework=''&includePrerelease=false&$skip=0&$top=30",
    ],
    'v2-count': ["/v2/Search()/$count?searchTerm='json'"],
    'v2-package': ['/v2/package/Newtonsoft.Json/13.0.3'],
  },
});
