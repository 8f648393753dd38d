/** Bytes that begin like a file of some type: the first ones of an upload tell the server what it is. */

/** SOI and SOS: what follows is data, and cannot make it a JPEG-LS or say a size. */
const JPEG = [0xff, 0xd8, 0xff, 0xda]
/** The signature, IHDR of a picture of 640×480, and the beginning of IDAT. */
const PNG = [
  ...[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
  ...[0, 0, 0, 13, ...ascii('IHDR'), 0, 0, 2, 0x80, 0, 0, 1, 0xe0, 8, 2, 0, 0, 0, 0xba, 0xb3, 0x4b, 0xb3],
  ...[0, 0x10, 0, 0, ...ascii('IDAT')],
]
/** `ftyp`, and an `mdat` that goes on to the end of the file. */
const MP4 = [
  ...[0, 0, 0, 32, ...ascii('ftypisom'), 0, 0, 2, 0, ...ascii('isomiso2avc1mp41')],
  ...[0, 0, 0, 0, ...ascii('mdat')],
]

/** Three bytes are enough: of fewer nobody can tell what they are. */
export const asJpeg = <Bytes extends Uint8Array>(bytes: Bytes): Bytes => beginning(JPEG, bytes)

export const asPng = <Bytes extends Uint8Array>(bytes: Bytes): Bytes => beginning(PNG, bytes)

export const asMp4 = <Bytes extends Uint8Array>(bytes: Bytes): Bytes => beginning(MP4, bytes)

/** Overwrites the first bytes, as many as there are, and gives the same bytes back. */
function beginning<Bytes extends Uint8Array>(first: readonly number[], bytes: Bytes): Bytes {
  bytes.set(first.slice(0, bytes.length))
  return bytes
}

function ascii(text: string): number[] {
  return [...Buffer.from(text, 'latin1')]
}
