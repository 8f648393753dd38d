import { describe, expect, it } from 'vitest'
import { problemsOf } from '../test/support/config-problems.ts'
import { type Environment, parseConfig } from './config.ts'
import { storageOptionsOf } from './storage-options.ts'

const parse = (env: Environment) => parseConfig(env, { auth: false })

const S3 = { STORAGE: 's3', S3_BUCKET: 'media' }

describe('the configuration of storage', () => {
  it.each<[string, Environment, string]>([
    ['a bucket', { STORAGE: 's3' }, 'S3_BUCKET'],
    ['memory for one part', { ...S3, S3_MEMORY_BUDGET: '100MB' }, 'S3_MEMORY_BUDGET'],
    ['files of 10,000 parts that fit into memory', { ...S3, UPLOAD_MAX_SIZE: '2000GB' }, 'UPLOAD_MAX_SIZE'],
    ['files that S3 takes', { ...S3, UPLOAD_MAX_SIZE: '6TB', S3_MEMORY_BUDGET: '8GB' }, 'UPLOAD_MAX_SIZE'],
    ['a bucket to redirect to', { DOWNLOADS: 'redirect' }, 'DOWNLOADS'],
    ['a public place', { ...S3, PUBLISH: 'copy', PUBLIC_PREFIX: 'uploads' }, 'PUBLIC_PREFIX'],
    ['a public place of its own', { ...S3, PUBLISH: 'copy', S3_PREFIX: 'public/{owner}' }, 'PUBLIC_PREFIX'],
    [
      'a public place apart from both',
      { S3_BUCKET: 'media', PUBLISH: 'copy', S3_PREFIX: 'public/' },
      'PUBLIC_PREFIX',
    ],
    [
      'a public place that says where',
      { ...S3, PUBLISH: 'copy', PUBLIC_PREFIX: '{tenant}' },
      'PUBLIC_PREFIX',
    ],
  ])('needs %s', (_what, env, name) => {
    expect(problemsOf(env)).toEqual([
      expect.stringMatching(new RegExp(`^${name}: ".*" is not accepted; .*it takes `)),
    ])
  })

  it.each([
    ['media/{owner}', 'media/{owner}/'],
    ['{tenant}/{yyyy}/{mm}/', '{tenant}/{yyyy}/{mm}/'],
    ['a-b_c.d=e', 'a-b_c.d=e/'],
    ['', ''],
  ])('takes the prefix %j', (given, prefix) => {
    expect(parse({ ...S3, S3_PREFIX: given }).S3_PREFIX).toBe(prefix)
  })

  it.each(['/media', 'media//x', '../x', 'a/./b', '{owner', '{sub}', 'a b', 'ü', '{owner}'.repeat(50)])(
    'does not take the prefix %j',
    (prefix) => {
      expect(problemsOf({ ...S3, S3_PREFIX: prefix })).toHaveLength(1)
    },
  )

  it('names the bucket in the path of servers that are not AWS, unless it is told otherwise', () => {
    const pathStyle = (env: Environment) => {
      return storageOptionsOf(parse({ ...S3, ...env })).s3?.forcePathStyle
    }
    expect(pathStyle({})).toBe(false)
    expect(pathStyle({ S3_ENDPOINT: 'http://127.0.0.1:9000' })).toBe(true)
    expect(pathStyle({ S3_ENDPOINT: 'https://s3.example', S3_FORCE_PATH_STYLE: 'false' })).toBe(false)
  })

  it('has a bucket beside the disk, for what is there already', () => {
    expect(storageOptionsOf(parse({ S3_BUCKET: 'media', S3_PREFIX: 'a/b-{owner}' }))).toMatchObject({
      primary: 'disk',
      s3: { bucket: 'media', markerPrefix: 'a/b-' },
    })
    expect(storageOptionsOf(parse({})).s3).toBeUndefined()
  })

  it('leaves credentials to the SDK where it has none, and repeats none in a complaint', () => {
    expect(storageOptionsOf(parse(S3)).s3).toMatchObject({ credentials: undefined })
    const keys = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 'token' }
    expect(storageOptionsOf(parse({ ...S3, ...keys })).s3).toMatchObject({
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: 'token' },
    })
  })

  it('has credentials of links where both are set, and complains of one', () => {
    const keys = { S3_LINK_ACCESS_KEY_ID: 'id', S3_LINK_SECRET_ACCESS_KEY: 'secret' }
    expect(storageOptionsOf(parse({ ...S3, ...keys })).s3).toMatchObject({
      linkCredentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    })
    expect(storageOptionsOf(parse(S3)).s3).toMatchObject({ linkCredentials: undefined })
    for (const [name, value] of Object.entries(keys))
      expect(() => parse({ ...S3, [name]: value })).toThrow(
        'S3_LINK_ACCESS_KEY_ID, S3_LINK_SECRET_ACCESS_KEY: one is set; both or none are needed',
      )
  })
})
