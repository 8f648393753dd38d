import { expect, it, onTestFinished } from 'vitest'
import { requires } from '../services/requirements.ts'
import { freshBucket } from '../support/bucket.ts'
import { sha256Of, videoOfSize } from '../support/s3-landfall.ts'
import { startServerProcess } from '../support/server-process.ts'
import { untilReceived } from '../support/status.ts'
import { describeStorages } from '../support/storages.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { tusJsUpload } from '../support/tus-js-client.ts'
import { outcome } from '../support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const MIB = 1024 * 1024

describeStorages.skipIf(!ffmpeg.met || !clamd.met)(
  'tus-js-client, which tries for nine seconds',
  (storage) => {
    it.each<NodeJS.Signals>(['SIGTERM', 'SIGKILL'])(
      'goes on by itself with its own delays when the server gets a %s and starts again',
      async (signal) => {
        const video = await videoOfSize(13 * MIB, `restart ${storage}`)
        const bucket = storage === 's3' ? await freshBucket() : undefined
        if (bucket) onTestFinished(() => bucket.close())
        const server = await startServerProcess(bucket?.env())
        onTestFinished(() => server.stop())
        const proxy = await startTcpProxy(server.url)
        onTestFinished(() => proxy.close())
        const sent = tusJsUpload({ ...server, url: proxy.url }, 'alice', video)
        proxy.holdAfter(7 * MIB)
        sent.upload.start()
        const uploadId = await sent.created
        await untilReceived(server, 'alice', uploadId, 6 * MIB)
        await server.kill(signal)
        proxy.release()
        await server.restart()

        expect(await sent.finished).toBe(uploadId)
        console.log(
          `${signal}, ${storage}: ${sent.requests.join(', ')}; sent from ${sent.offsets.join(', ')}`,
        )
        // Told to stop, it stored what had arrived and said so; killed, it may have stored nothing yet.
        if (signal === 'SIGTERM') expect(sent.offsets.at(-1)).toBeGreaterThan(6 * MIB)
        const media = await outcome(server, 'alice', uploadId)
        expect(media).toMatchObject({ status: 'ready', size: video.length, sha256: sha256Of(video) })
      },
    )
  },
)
