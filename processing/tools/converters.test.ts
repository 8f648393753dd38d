import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SYSTEM_PATH } from '../../system/system-path.ts'
import { noSandbox } from '../../system/tool-sandbox.ts'
import { RetryLater } from '../failures/job-failures.ts'
import { Converters } from './converters.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'landfall-converters-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** Converters on a machine whose `heif-dec` is this script. */
async function withProgram(script: string): Promise<Converters> {
  const path = join(folder, 'heif-dec')
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
  return new Converters(noSandbox(`${folder}:${SYSTEM_PATH}`))
}

describe('a program for HEIC', () => {
  it.each([
    ['lists a decoder', 'printf "HEIC decoders:\\n- libde265 = libde265\\nAVIF decoders:\\n"', true],
    ['is of a release that lists none', 'echo "unrecognized option: --list-decoders" >&2; exit 5', true],
  ])('counts where it %s', async (_how, script, isReadable) => {
    expect(await (await withProgram(script)).canRead('image/heic')).toBe(isReadable)
  })

  it('is tried again later where it was ended', async () => {
    const converters = await withProgram('kill -9 $$')
    await expect(converters.canRead('image/heic')).rejects.toThrow(RetryLater)
  })

  it('is not there on a machine without one, nor for other types', async () => {
    const none = new Converters(noSandbox(folder))
    expect(await none.canRead('image/heic')).toBe(false)
    expect(await none.canRead('application/pdf')).toBe(false)
    expect(await none.canRead('image/jpeg')).toBe(false)
    expect(await none.canRead(null)).toBe(false)
  })

  it('is one without decoders no more than none', async () => {
    await writeFile(
      join(folder, 'heif-dec'),
      '#!/bin/sh\nprintf "HEIC decoders:\\nAVIF decoders:\\n- aom\\n"\n',
      { mode: 0o755 },
    )
    await symlink('/bin/sh', join(folder, 'sh'))
    expect(await new Converters(noSandbox(folder)).canRead('image/heic')).toBe(false)
  })

  it('does not lead to another file by a link in the place of its picture', async () => {
    const script = 'case "$1" in -q) ln -s /etc/hostname "$4";; *) printf "HEIC decoders:\\n- one\\n";; esac'
    const converters = await withProgram(script)
    const conversion = { contentType: 'image/heic', page: 0, hasAlpha: false, maxSide: 0 }
    const input = join(folder, 'input')
    await writeFile(input, 'x')
    const signal = AbortSignal.timeout(10_000)
    await expect(converters.convert({ ...conversion, input, folder, signal })).rejects.toThrow(
      'writes no picture',
    )
  })
})
