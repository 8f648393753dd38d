import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { asJpeg, asMp4, asPng } from '../support/sample-bytes.ts'
import type { Drawn, DrawnBody, DrawnRequest, HeaderLine, Template } from './drawn.ts'

/** What is written to a connection. */
export type Rendered = {
  bytes: Buffer
  /** It is one whole request, as far as its own headers say: an answer is owed. */
  isWhole: boolean
  /** As in the request line; undefined where there is none. */
  method: string | undefined
}

/** The value of a placeholder without its braces; undefined for none that is known. */
export type Fill = (name: string) => string | undefined

export function render(drawn: Drawn, fill: Fill): Rendered {
  if (drawn.kind === 'bytes')
    return { bytes: Buffer.from(drawn.bytes, 'latin1'), isWhole: false, method: undefined }
  const content = contentOf(drawn.body)
  const filled = (template: Template) =>
    template.replaceAll(/\{([a-z0-9-]+)\}/g, (whole, name) => fill(name) ?? digestOf(name, content) ?? whole)
  const { headers, bytes, isWhole } = framed(drawn.body, content, filled)
  const lines = [...drawn.headers, ...headers].map(([name, value]) => `${name}: ${filled(value)}`)
  const head = [`${drawn.method} ${filled(drawn.path)} HTTP/1.1`, ...lines, '', ''].join('\r\n')
  return {
    bytes: Buffer.concat([Buffer.from(head, 'latin1'), bytes]),
    isWhole: isWhole && !changesFraming(drawn),
    method: drawn.method,
  }
}

/** Headers drawn by chance may contradict the body; then nobody knows where it ends. */
function changesFraming({ headers }: DrawnRequest): boolean {
  return headers.some(([name]) => /^(content-length|transfer-encoding|expect|upgrade)$/i.test(name))
}

type Framed = { headers: readonly HeaderLine[]; bytes: Buffer; isWhole: boolean }

function framed({ framing }: DrawnBody, content: Buffer, filled: (template: string) => string): Framed {
  const length = (by = 0): HeaderLine => ['Content-Length', String(Math.max(0, content.length + by))]
  const chunked: HeaderLine = ['Transfer-Encoding', 'chunked']
  switch (framing.kind) {
    case 'none':
      return { headers: [], bytes: Buffer.alloc(0), isWhole: true }
    case 'length':
      return { headers: [length()], bytes: content, isWhole: true }
    case 'wrong-length':
      return { headers: [length(framing.by)], bytes: content, isWhole: framing.by <= 0 }
    case 'chunked': {
      const trailers = framing.trailers.map(([name, value]) => `${name}: ${filled(value)}\r\n`).join('')
      const end = Buffer.from(`0\r\n${trailers}\r\n`, 'latin1')
      // A trailer drawn by chance may be none.
      const isWhole = framing.trailers.length === 0
      return { headers: [chunked], bytes: Buffer.concat([...chunks(content, framing.chunk), end]), isWhole }
    }
    case 'cut-chunks': {
      const bytes = Buffer.concat(chunks(content, framing.chunk)).subarray(0, framing.at)
      return { headers: [chunked], bytes, isWhole: false }
    }
    case 'broken-chunks': {
      const size = Buffer.from(`${framing.size}\r\n`, 'latin1')
      return {
        headers: [chunked],
        bytes: Buffer.concat([...chunks(content, 1000), size, content]),
        isWhole: false,
      }
    }
    case 'both':
      return {
        headers: [length(), chunked],
        bytes: Buffer.concat([...chunks(content, 1000), Buffer.from('0\r\n\r\n')]),
        isWhole: false,
      }
    case 'said':
      return { headers: framing.headers, bytes: content, isWhole: false }
  }
}

function chunks(content: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < content.length; at += size) {
    const piece = content.subarray(at, at + size)
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'))
  }
  return pieces
}

const BEGINNINGS = { mp4: asMp4, png: asPng, jpeg: asJpeg }

function contentOf({ content, bytes }: DrawnBody): Buffer {
  if (content === 'text') return Buffer.alloc(bytes, 'no media ')
  if (content === 'zeros') return Buffer.alloc(bytes)
  return BEGINNINGS[content](Buffer.alloc(bytes, 7))
}

function digestOf(name: string, content: Buffer): string | undefined {
  if (name === 'crc32') {
    const sum = Buffer.alloc(4)
    sum.writeUInt32BE(crc32(content))
    return sum.toString('base64')
  }
  if (!['sha1', 'md5', 'sha256', 'sha512'].includes(name)) return undefined
  return createHash(name).update(content).digest('base64')
}

const SHOWN = 6000

/** Bytes as a string of JavaScript, so that they can be sent again exactly; what repeats at length is cut. */
export function shown(bytes: Buffer): string {
  const text = JSON.stringify(bytes.toString('latin1')).replaceAll(
    /[\u007f-\u00ff]/g,
    (byte) => `\\u00${byte.charCodeAt(0).toString(16)}`,
  )
  return text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}… (${bytes.length} bytes)`
}
