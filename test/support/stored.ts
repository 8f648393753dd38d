import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DeleteObjectCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import type { Bucket } from './bucket.ts'
import { filesBelow } from './leftovers.ts'
import { isMarkerKey } from './markers.ts'

/** What a storage holds, looked at behind the server's back. */
export type Stored = {
  /** Of every object, sorted. */
  keys(): Promise<string[]>
  bytes(key: string): Promise<Buffer>
  /** Loses an object. */
  lose(key: string): Promise<void>
  /** Puts other bytes in the place of an object's. */
  replace(key: string, bytes: Uint8Array): Promise<void>
  /** Keys of the multipart uploads that were neither completed nor given up; a disk has none. */
  openMultiparts(): Promise<string[]>
}

/** Everything that is left, open multipart uploads included, in a form to compare with `[]`. */
export async function leftIn(stored: Stored): Promise<string[]> {
  const [keys, open] = await Promise.all([stored.keys(), stored.openMultiparts()])
  return [...keys, ...open.map((key) => `multipart upload of ${key}`)]
}

/** What is left of a server's uploads anywhere: in its storage, or beside it below its data directory. */
export async function leftBehind(landfall: { stored: Stored; dataDirectory: string }): Promise<string[]> {
  const files = await filesBelow(landfall.dataDirectory)
  // Objects on disk are in its storage.
  return [...(await leftIn(landfall.stored)), ...files.filter((file) => !file.startsWith('objects/'))]
}

const OF_A_VIDEO = [
  'storyboard.jpg',
  'storyboard.vtt',
  'thumbnail-2.jpg',
  'thumbnail-2.webp',
  'thumbnail.jpg',
  'thumbnail.webp',
  'waveform.json',
]

/** Keys of what is made of a video with sound that is no narrower than the widest thumbnail; sorted. */
export const renditionsOfVideo = (mediaId: string): string[] =>
  OF_A_VIDEO.map((name) => `renditions/${mediaId}/${name}`)

/** The same of one that is no wider than the second thumbnail, and so has only one. */
export const renditionsOfNarrowVideo = (mediaId: string): string[] =>
  renditionsOfVideo(mediaId).filter((key) => !key.includes('thumbnail-2'))

/** Of a server that stores below its data directory. */
export function storedOnDisk(dataDirectory: string): Stored {
  const directory = join(dataDirectory, 'objects')
  return {
    keys: async () => (await filesBelow(directory)).filter((key) => !isMarkerKey(key)).toSorted(),
    bytes: (key) => readFile(join(directory, key)),
    lose: (key) => rm(join(directory, key)),
    replace: (key, bytes) => writeFile(join(directory, key), bytes),
    openMultiparts: async () => [],
  }
}

/** Of a server that stores in this bucket; asked of the gateway itself. */
export function storedInBucket({ client, name, keys, openMultiparts }: Bucket): Stored {
  return {
    keys: async () => (await keys()).toSorted(),
    async bytes(key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: name, Key: key }))
      if (!Body) throw new Error(`the gateway gave no body for ${key}`)
      return Buffer.from(await Body.transformToByteArray())
    },
    async lose(key) {
      await client.send(new DeleteObjectCommand({ Bucket: name, Key: key }))
    },
    async replace(key, bytes) {
      await client.send(new PutObjectCommand({ Bucket: name, Key: key, Body: bytes }))
    },
    openMultiparts: async () => (await openMultiparts()).map(({ key }) => key).toSorted(),
  }
}
