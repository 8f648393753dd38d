import { createHash } from 'node:crypto'
import { declarationOf } from '../../ledger/media.ts'
import type { Step } from '../step.ts'
import { Rejected } from '../verdict.ts'

/** Scans for viruses, computes the SHA-256 and compares what the client has promised, in one read of the object. */
export const scan: Step = {
  name: 'scan',
  async run({ media, objects, scanner, signal, db }) {
    const { digests } = await declarationOf(db, media.upload_id)
    const hash = createHash('sha256')
    const promised = Object.entries(digests ?? {}).map(([algorithm, expected]) => ({
      expected,
      hash: createHash(algorithm),
    }))
    let bytes = 0
    const onChunk = (chunk: Uint8Array) => {
      signal.throwIfAborted()
      bytes += chunk.byteLength
      hash.update(chunk)
      for (const digest of promised) digest.hash.update(chunk)
    }
    const source = await objects.read(media.storage_key, { etag: media.etag })
    if (scanner) {
      const verdict = await scanner.scan(source, onChunk, signal)
      if (verdict.kind === 'infected')
        throw new Rejected('infected', `The file contains ${verdict.signature}.`)
      if (verdict.kind === 'not-scanned')
        throw new Rejected('scan-limit-exceeded', `The file was not scanned: ${verdict.why}.`)
    } else {
      for await (const chunk of source as AsyncIterable<Uint8Array>) onChunk(chunk)
    }
    if (bytes !== media.size) throw new Error(`${bytes} bytes were read of ${media.size}`)
    if (promised.some(({ expected, hash }) => hash.digest('base64') !== expected))
      throw new Rejected('digest-mismatch', 'The file is not that of its Repr-Digest.')
    return { facts: { sha256: hash.digest('hex') }, detail: { scanned: scanner !== undefined } }
  },
}
