import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { FORMATS } from '../content/formats.ts'
import { problemsOf as problemsIn } from '../test/support/config-problems.ts'
import { type Config, type Environment, parseConfig } from './config.ts'

const SECRET = 'x'.repeat(32)
const PUBLIC_KEYS = 'one to 8 public keys in PEM format (EC, or RSA of at least 2048 bits)'
const LINK_KEYS =
  'one to 8 keys such as app:SECRET or TENANT/app:SECRET with different names, separated by spaces or commas; a secret has at least 32 characters'
const HS = { AUTH_JWT_SECRET: SECRET }

const parse = (env: Environment, needs = { auth: true }): Config => parseConfig(env, needs)

const types = FORMATS.map((format) => format.contentType).join(', ')
const ALGORITHMS = 'HS256, HS384, HS512, RS256, RS384, RS512, PS256, ES256, ES384, ES512'

const problemsOf = (env: Environment, needs = { auth: true }) => problemsIn(env, needs)

describe('a bad value', () => {
  const size = 'a size such as 500MB (decimal) or 5GiB (binary)'
  const duration = 'a duration such as 60s, 30m or 24h'
  const url = 'a URL that begins with http:// or https://, such as https://host.example:8443/up'
  const media = `media types, such as video/mp4,image/*,application/pdf, or */* for any file (video, image, audio: ${types})`
  const proxies = 'false, true, a number of hops, or addresses such as loopback,10.0.0.0/8'
  const heights = 'one to 6 different even heights from 144 to 2160, such as 1080,720,480'
  const list = `a comma-separated list of ${ALGORITHMS}`

  it.each([
    ['PORT', '80a', 'a whole number from 0 to 65535'],
    ['PORT', '65536', 'a whole number from 0 to 65535'],
    ['PORT', '-1', 'a whole number from 0 to 65535'],
    ['PORT', '1e3', 'a whole number from 0 to 65535'],
    ['PUBLIC_URL', 'uploads.example', url],
    ['PUBLIC_URL', 'ftp://uploads.example', url],
    ['PUBLIC_URL', 'https://uploads.example/?up', url],
    ['PUBLIC_URL', 'https://uploads.example/#up', url],
    ['PUBLIC_URL', 'https://alice@uploads.example', url],
    ['PUBLIC_URL', 'https://uploads.example//up', url],
    ['CDN_URL', 'cdn.example', 'a URL that begins with http:// or https://'],
    ['TRUST_PROXY', 'yes', proxies],
    ['TRUST_PROXY', '10.0.0.0/33', proxies],
    ['TRUST_PROXY', 'loopback,everyone', proxies],
    ['CORS_ORIGINS', ' , ', '* or a comma-separated list of origins, such as https://app.example'],
    ['DATABASE_POOL', '1', 'a whole number from 2 to 500'],
    ['LOCATION', 'always', 'auto or relative or absolute'],
    ['STORAGE', 'tape', /^.*disk/],
    ['HISTORY_RETENTION', '59m', 'a duration of at least 1h, such as 30d'],
    ['RECORD_RETENTION', '2d', 'a duration of at least 3d, such as 30d'],
    ['DISK_SYNC', 'sometimes', 'always or finish or never'],
    ['AUTH_ALGORITHMS', 'none', list],
    ['AUTH_ALGORITHMS', 'HS256,none', list],
    ['AUTH_CLOCK_TOLERANCE', '30', duration],
    ['AUTH_DEV_TOKENS', 'yes', 'true or false'],
    ['AUTH_DEV_TOKENS', 'TRUE', 'true or false'],
    ['UPLOAD_MAX_SIZE', 'huge', size],
    ['UPLOAD_MIN_SIZE', '-1', size],
    ['UPLOAD_ALLOWED_TYPES', 'video/mp4,text', media],
    ['UPLOAD_ALLOWED_TYPES', 'video/mp5', media],
    ['UPLOAD_ALLOWED_TYPES', 'video/mp4,', media],
    ['UPLOAD_EXPIRES_AFTER', '0s', duration],
    ['UPLOAD_IDLE_TIMEOUT', 'never', duration],
    ['UPLOAD_MAX_OPEN', '0', 'a whole number from 1 to 1000000'],
    ['QUOTA_BYTES', 'lots', size],
    ['QUOTA_UPLOADS', '1.5', 'a whole number from 0 to 9007199254740991'],
    ['MEDIA_MAX_DURATION', '2 hours', duration],
    ['MEDIA_MAX_WIDTH', '0', 'a whole number from 1 to 65535'],
    ['MEDIA_MIN_HEIGHT', '65536', 'a whole number from 1 to 65535'],
    ['SCAN', 'on', 'required or off'],
    ['CLAMD_URL', 'http://127.0.0.1:3310', 'tcp://HOST:PORT or unix:/PATH'],
    ['CLAMD_URL', 'tcp://127.0.0.1', 'tcp://HOST:PORT or unix:/PATH'],
    ['CLAMD_URL', 'unix:relative', 'tcp://HOST:PORT or unix:/PATH'],
    ['HLS', 'yes', 'off or on'],
    ['HLS_HEIGHTS', '1080,1080', heights],
    ['HLS_HEIGHTS', '1080,', heights],
    ['HLS_HEIGHTS', '721', heights],
    ['HLS_HEIGHTS', '142', heights],
    ['HLS_HEIGHTS', '2162', heights],
    ['HLS_HEIGHTS', '144,240,360,480,720,1080,1440', heights],
    ['WORKER', 'two', 'child or off'],
    ['WORKER_CONCURRENCY', '65', 'a whole number from 1 to 64'],
    ['LOG_LEVEL', 'loud', 'fatal or error or warn or info or debug or trace or silent'],
  ])('%s=%j gives one line: variable, value, what is accepted', (name, value, accepts) => {
    const problems = problemsOf({ ...HS, [name]: value })
    expect(problems).toHaveLength(1)
    const [line = ''] = problems
    const beginning = `${name}: ${JSON.stringify(value)} is not accepted; it takes `
    expect(line).not.toContain('\n')
    expect(line.slice(0, beginning.length)).toBe(beginning)
    if (accepts instanceof RegExp) expect(line).toMatch(accepts)
    else expect(line.slice(beginning.length)).toBe(accepts)
  })

  it.each<[string, string, string]>([
    [
      'AUTH_JWT_SECRET',
      'too-short-to-tell',
      'a secret of at least 32 characters, or up to 8 of them, separated by spaces or commas',
    ],
    ['DATABASE_URL', 'mysql://user:pass-word@host/db', 'a URL that begins with postgres:// or postgresql://'],
    ...[
      SECRET,
      'app:too-short-to-tell',
      `a b:${SECRET}`,
      `/app:${SECRET}`,
      `a\u0001/app:${SECRET}`,
      `app:${SECRET} app:${SECRET}`,
      `acme/app:${SECRET},globex/app:${SECRET}`,
      ' , ',
      Array.from({ length: 9 }, (_, n) => `app${n}:${SECRET}`).join(),
    ].map((value): [string, string, string] => ['LINK_SIGNING_KEYS', value, LINK_KEYS]),
    ['AUTH_JWT_PUBLIC_KEY', 'not a key at all', PUBLIC_KEYS],
    ['AUTH_JWT_PUBLIC_KEY', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', PUBLIC_KEYS],
  ])('of %s is not repeated: it may be a secret', (name, value, accepts) => {
    expect(problemsOf({ [name]: value }, { auth: false })).toEqual([
      `${name}: its value is not accepted; it takes ${accepts}`,
    ])
  })

  it('is one line even when it holds several', () => {
    expect(problemsOf({ ...HS, PORT: '1\n2' })).toEqual([
      'PORT: "1\\n2" is not accepted; it takes a whole number from 0 to 65535',
    ])
  })

  it('does not hide another', () => {
    const problems = problemsOf({ ...HS, PORT: 'x', SCAN: 'x', QUOTA_BYTES: 'x' })
    expect(problems.map((line) => line.split(':')[0]).sort()).toEqual(['PORT', 'QUOTA_BYTES', 'SCAN'])
  })
})

describe('values that do not go together', () => {
  it.each<[string, Environment, string]>([
    [
      'a key for links of a tenant, where there are none',
      { LINK_SIGNING_KEYS: `acme/app:${SECRET}` },
      'LINK_SIGNING_KEYS: its value is not accepted; with AUTH_TENANT=off the key app takes no tenant, as in app:SECRET',
    ],
    [
      'a key for links without a tenant, where each owner has one',
      { AUTH_TENANT: 'required', LINK_SIGNING_KEYS: `app:${SECRET}` },
      'LINK_SIGNING_KEYS: its value is not accepted; with AUTH_TENANT=required the key app takes a tenant, as in TENANT/app:SECRET',
    ],
    [
      'a smallest file above the largest',
      { UPLOAD_MIN_SIZE: '2MB', UPLOAD_MAX_SIZE: '1MB' },
      'UPLOAD_MIN_SIZE: "2000000" is not accepted; it takes at most UPLOAD_MAX_SIZE',
    ],
    [
      'a largest file below the smallest by default',
      { UPLOAD_MAX_SIZE: '500' },
      'UPLOAD_MIN_SIZE: "1000" is not accepted; it takes at most UPLOAD_MAX_SIZE',
    ],
    [
      'a smallest width above the largest',
      { MEDIA_MIN_WIDTH: '900', MEDIA_MAX_WIDTH: '800' },
      'MEDIA_MIN_WIDTH: "900" is not accepted; it takes at most MEDIA_MAX_WIDTH',
    ],
    [
      'a smallest height above the largest',
      { MEDIA_MIN_HEIGHT: '5000' },
      'MEDIA_MIN_HEIGHT: "5000" is not accepted; it takes at most MEDIA_MAX_HEIGHT',
    ],
    [
      'tokens for anyone in production',
      { AUTH_DEV_TOKENS: 'true', NODE_ENV: 'production' },
      'AUTH_DEV_TOKENS: "true" is not accepted; with NODE_ENV=production it takes false',
    ],
  ])('are refused: %s', (_what, env, line) => {
    expect(problemsOf({ ...HS, ...env })).toEqual([line])
  })

  it('are all named', () => {
    const env = { ...HS, UPLOAD_MIN_SIZE: '1GB', MEDIA_MIN_WIDTH: '5000', MEDIA_MIN_HEIGHT: '5000' }
    expect(problemsOf(env)).toHaveLength(3)
  })
})

describe('without anything but a key', () => {
  it('everything has the default that the documentation promises', () => {
    expect(parse(HS)).toMatchObject({
      PORT: 1080,
      HOST: '127.0.0.1',
      DATA_DIR: resolve('data'),
      TRUST_PROXY: false,
      CORS_ORIGINS: ['*'],
      STORAGE: 'disk',
      DISK_SYNC: 'always',
      AUTH_CLOCK_TOLERANCE: 30_000,
      AUTH_DEV_TOKENS: false,
      UPLOAD_MAX_SIZE: 524_288_000,
      UPLOAD_MIN_SIZE: 1000,
      UPLOAD_EXPIRES_AFTER: 24 * 3_600_000,
      UPLOAD_IDLE_TIMEOUT: 60_000,
      UPLOAD_MAX_OPEN: 5,
      MEDIA_MAX_DURATION: 2 * 3_600_000,
      MEDIA_MAX_WIDTH: 4096,
      MEDIA_MAX_HEIGHT: 4096,
      MEDIA_MIN_WIDTH: 320,
      MEDIA_MIN_HEIGHT: 240,
      SCAN: 'required',
      FFMPEG_PATH: 'ffmpeg',
      FFPROBE_PATH: 'ffprobe',
      HLS: 'off',
      HLS_HEIGHTS: [1080, 720, 480, 360],
      WORKER: 'child',
      LOG_LEVEL: 'info',
      accepted: { formats: FORMATS, others: [] },
    })
  })

  it.each([
    'DATABASE_URL',
    'PUBLIC_URL',
    'CLAMD_URL',
    'QUOTA_BYTES',
    'QUOTA_UPLOADS',
    'AUTH_ISSUER',
    'AUTH_AUDIENCE',
  ] as const)('%s is not set', (name) => {
    expect(parse(HS)[name]).toBeUndefined()
  })

  it('unknown variables are ignored, and empty ones count as absent', () => {
    expect(parse({ ...HS, PORT: '', QUOTA_BYTES: '', PORTT: 'x', LANDFALL: 'x', PATH: '/bin' })).toEqual(
      parse(HS),
    )
  })

  it('nothing can be changed afterwards', () => {
    expect(Object.isFrozen(parse(HS))).toBe(true)
  })

  it('secrets are in one place only', () => {
    expect(JSON.stringify({ ...parse(HS), auth: undefined })).not.toContain(SECRET)
  })
})

describe('a value may be written in several ways', () => {
  it.each<[string, string, unknown]>([
    ['TRUST_PROXY', 'true', true],
    ['TRUST_PROXY', '2', 2],
    ['TRUST_PROXY', 'loopback, 10.0.0.0/8,fd00::/8,192.0.2.7', 'loopback, 10.0.0.0/8,fd00::/8,192.0.2.7'],
    ['CORS_ORIGINS', 'https://a.test, https://b.test', ['https://a.test', 'https://b.test']],
    ['PUBLIC_URL', 'https://uploads.test/', 'https://uploads.test'],
    ['PUBLIC_URL', 'https://uploads.test:8443/up/', 'https://uploads.test:8443/up'],
    ['CLAMD_URL', 'unix:/run/clamd.sock', { socketPath: '/run/clamd.sock' }],
    ['CLAMD_URL', 'tcp://[::1]:3310', { host: '::1', port: 3310 }],
    ['UPLOAD_MAX_SIZE', '5GiB', 5 * 1024 ** 3],
    ['QUOTA_BYTES', '0', 0],
  ])('%s=%s', (name, value, meant) => {
    expect(parse({ ...HS, [name]: value })).toHaveProperty([name], meant)
  })

  it('allowed types come in the order of the table, once each, by any of their names', () => {
    const { accepted } = parse({ ...HS, UPLOAD_ALLOWED_TYPES: 'image/png, IMAGE/JPG,video/x-m4v,image/jpeg' })
    expect(accepted.formats.map((format) => format.contentType)).toEqual([
      'video/mp4',
      'image/jpeg',
      'image/png',
    ])
  })
})
