// The shipped workflows' titles and notes in the page's language, when such a workflow is opened. A graph of which every group has a
// title of theirs is one of them; other graphs are left alone.

import { app } from "../../scripts/app.js";

// ComfyUI translates the nodes' own names, but no texts of a workflow.
const TEXTS = {
  "zh": {
    "groups": {
      "1  Checkpoint and photo": "1  模型和照片",
      "1  Model and photo": "1  模型和照片",
      "1  The photo in the model's size, and its inversion": "1  照片缩放到模型的大小，再反演",
      "2  Inversion: computed once, reused by every edit": "2  反演：只算一次，每次编辑都用它",
      "2  What is there, and what instead": "2  原来是什么，改成什么",
      "2  What to change, and where": "2  改什么，在哪里",
      "2  Find it": "2  找到它",
      "2  One look": "2  看一次",
      "3  What to change": "3  改什么",
      "3  What to change, and where": "3  改什么，在哪里",
      "3  Where, and what to change": "3  在哪里，改什么",
      "3  Where is it, and what to change": "3  它在哪里，改什么",
      "3  Where is it? One look at the photo": "3  它在哪里？看一次照片",
      "3  ComfyUI's own inpainting": "3  ComfyUI 自带的局部重绘",
      "3  Edit": "3  编辑",
      "4  Edit": "4  编辑",
      "5  Edit": "5  编辑",
      "4  Two concepts, chained": "4  串联的两个概念",
      "4  Sample": "4  采样",
      "4  What to change": "4  改什么",
      "4  Back into the original, with a soft edge": "4  贴回原图，边缘柔和",
      "5  Back into the original": "5  贴回原图",
      "5  Sweep": "5  对比表",
      "Maps: bright where a word looks": "热力图：词语关注之处发亮",
      "Masks: ordinary MASKs for any node": "遮罩：任何节点都能用的普通 MASK",
      "LoRA (bypassed)": "LoRA（已绕过）",
      "ControlNet (bypassed)": "ControlNet（已绕过）",
      "One batch": "一个批次",
      "Result": "结果"
    },
    "titles": {
      "Neutral prompt (empty)": "中性提示词（空）",
      "Negative prompt": "负面提示词",
      "Apply it: Ctrl+B switches it on": "应用：按 Ctrl+B 启用",
      "LoRA: Ctrl+B switches it on": "LoRA：按 Ctrl+B 启用",
      "ControlNet: Ctrl+B switches it on": "ControlNet：按 Ctrl+B 启用",
      "Outlines of the photo": "照片的轮廓",
      "A little larger than the mask": "比遮罩稍大",
      "A little larger than the thing": "比那样东西稍大",
      "Only inside the mask": "只在遮罩内",
      "The soft edge": "柔和的边缘",
      "As large as the original": "和原图一样大",
      "The original's size": "原图的大小",
      "To the model's size": "缩放到模型的大小",
      "Back into the photo": "贴回照片",
      "Before and after": "编辑前后",
      "Where it changed": "改动的位置",
      "Edited photo": "编辑后的照片",
      "Edited photos": "编辑后的照片",
      "Inpainted photo": "重绘后的照片",
      "The sheet": "拼图",
      "Photo": "照片",
      "Photo 2": "照片 2",
      "Photo 3": "照片 3",
      "Photo as it is": "照片现在的样子",
      "Photo as it should be": "照片应有的样子",
      "The whole picture as it should be": "整幅图应有的样子",
      "Add": "添加",
      "Remove": "去除",
      "What to change": "改什么",
      "First change": "第一处改动",
      "Second change": "第二处改动",
      "This one is varied": "改变这一个",
      "Look for the thing": "找那样东西",
      "Look for the first thing": "找第一样东西",
      "Look for the second thing": "找第二样东西",
      "The thing to replace": "要替换的东西",
      "The words to look for": "要找的词语",
      "Where each word looks": "每个词语关注哪里",
      "A panel for each word": "每个词语一格",
      "Mask of each concept": "每个概念的遮罩",
      "Mask of each concept, in their order": "每个概念的遮罩，按顺序",
      "The mask of each photo": "每张照片的遮罩",
      "Mask of 'red circle'": "“red circle”的遮罩",
      "Mask of 'blue square'": "“blue square”的遮罩",
      "What will be drawn anew": "将要重画的部分",
      "Photo Edit (LEDITS++)": "照片编辑 (LEDITS++)"
    },
    "notes": {
      "## The same edit from ComfyUI's own parts\n*Masked Guider* and *Replay Sampler* feed ComfyUI's SamplerCustomAdvanced, so that anything that takes a GUIDER or a SAMPLER can stand in between.\n\nThe purple nodes are bypassed. Select one and press **Ctrl+B** to switch it on:\n- **LoRA**: choose a file. It then takes part in the inversion, the look and the edit.\n- **ControlNet**: switch on *both* of its nodes and choose a file of your checkpoint's kind. Its outlines hold the shapes, so that a stronger *scale* keeps the layout.": "## 用 ComfyUI 自带的零件做同样的编辑\n*遮罩引导器*和*重放采样器*接到 ComfyUI 的 SamplerCustomAdvanced，所以任何接受 GUIDER 或 SAMPLER 的节点都可以放在中间。\n\n紫色的节点已绕过。选中一个，按 **Ctrl+B** 启用：\n- **LoRA**：选一个文件。反演、探测和编辑都会用它。\n- **ControlNet**：启用它的*两个*节点，选一个与模型同类的文件。它的轮廓会保持形状，*scale* 再大，布局也不变。",
      "## What to turn\nAs in the simple graph: *scale*, *threshold*, *warmup* and *skip*.\n\nAll five inputs of SamplerCustomAdvanced belong together: guider, sampler, sigmas, latent and noise come from the **same** inversion.\n\n**For photos** (SD 1.5, SDXL and their fine-tunes) choose a *preset* on each Concept, and set Schedule to steps 50 and skip 0.15, Attention Store to resolution 0.": "## 调什么\n和简单的工作流一样：*scale*、*threshold*、*warmup* 和 *skip*。\n\nSamplerCustomAdvanced 的五个输入属于一套：引导器、采样器、sigmas、latent 和噪波都要来自**同一个**反演。\n\n**用于照片**（SD 1.5、SDXL 及其微调模型）：在每个“概念”上选一个*预设*，把“调度”设为 steps 50、skip 0.15，“注意力记录”的 resolution 设为 0。",
      "## The same change in several photos\nPut photos of one size into one batch: all are inverted and edited together, each with its own mask, and each as if it were alone.\n\nPhotos of other sizes: ComfyUI scales them to the first one's when they join the batch.": "## 几张照片，同一处改动\n把大小相同的照片放进一个批次：它们一起反演、一起编辑，各有自己的遮罩，彼此互不影响。\n\n照片大小不同时，ComfyUI 在合成批次时会把它们缩放到第一张的大小。",
      "## What to turn\nAll photos share the concept's settings, but each is asked where its own thing is.\n\n- **One photo changes too little**: raise *scale*.\n- **Out of memory**: fewer photos at once.\n\n**For photos** (SD 1.5, SDXL and their fine-tunes) choose a *preset* on each Concept, and set Schedule to steps 50 and skip 0.15, Attention Store to resolution 0.": "## 调什么\n所有照片共用概念的设置，但每张都会找自己的那样东西。\n\n- **有一张改得太少**：提高 *scale*。\n- **显存不足**：一次少放几张。\n\n**用于照片**（SD 1.5、SDXL 及其微调模型）：在每个“概念”上选一个*预设*，把“调度”设为 steps 50、skip 0.15，“注意力记录”的 resolution 设为 0。",
      "**Replace**: write both. **Remove**: write what is behind it, or nothing and *strength* 5. **Add**: write what it stands on and the whole photo as it should be, and set *mask_mode* to intersect. **Background**: write what stays, with a minus (*-dog*), and the new one.\n\nNothing changes? *strength* 20. Harsh colours? 5. Short of memory? *megapixels* 0.5; 0 is the model's own size.": "**替换**：两处都写。**去除**：写它后面是什么，或留空并把 *strength* 设为 5。**添加**：写它要放在什么上面，再写整张照片应有的样子，并把 *mask_mode* 设为 intersect。**换背景**：写要保留的东西，前面加减号（*-dog*），再写新的背景。\n\n没有变化？*strength* 20。颜色刺眼？5。显存不够？*megapixels* 0.5；0 是模型自己的大小。",
      "## Edit a photo with Flux.1 dev\n1. Describe the photo as it is (*Photo as it is*).\n2. Write the same with your change (*Photo as it should be*), and in *where* the thing that is to change.\n3. Run.\n\nFlux takes its guidance as a number (*FluxGuidance*), and an empty prompt means little to it. So a change is the difference of two descriptions.": "## 用 Flux.1 dev 编辑照片\n1. 描述照片现在的样子（*照片现在的样子*）。\n2. 写同样的话，加上你的改动（*照片应有的样子*），在 *where* 里写要改的东西。\n3. 运行。\n\nFlux 的引导强度是一个数值（*FluxGuidance*），空提示词对它没有多少意义。所以改动就是两段描述之差。",
      "## What to turn\n- **Nothing changes**: *scale* 6, *skip* 0.05.\n- **Too much changes**: *scale* 3, *warmup* 4.\n- **Keep guidance at 1 to 1.5**; at 3.5 take *scale* 1.5 to 3.\n- **To remove a thing**: describe the photo without it.\n- **To add a thing**: in *where* what it stands on, *mask_mode* intersect.\n\nFirst values, from published settings of similar methods, not tuned with this model: change them one at a time.": "## 调什么\n- **没有变化**：*scale* 6，*skip* 0.05。\n- **改得太多**：*scale* 3，*warmup* 4。\n- **guidance 保持 1 到 1.5**；为 3.5 时 *scale* 取 1.5 到 3。\n- **去除一样东西**：描述没有它的照片。\n- **添加一样东西**：在 *where* 里写它要放在什么上面，*mask_mode* 用 intersect。\n\n起始值来自同类方法公布的设置，没有用这个模型调过：一次只改一个。",
      "## Inpaint what a word finds\nNo brush: *Probe Attention* finds the thing by its name, *Extract Mask* turns that into a MASK, and ComfyUI's own inpainting draws something new there.\n\nOutside the mask the photo stays the same to the bit.": "## 重绘词语所找到的东西\n不用画笔：“探测注意力”按名字找到那样东西，“提取遮罩”把它变成 MASK，再由 ComfyUI 自带的局部重绘在那里画出新的东西。\n\n遮罩之外，照片每一位都不变。",
      "## What to turn\n- **Parts of the old thing remain**: raise *expand*, or lower *quantile*.\n- **The new thing is wrong**: another *seed* or *cfg*; describe the whole picture.\n- **Keep something of the old thing**: lower *denoise*.\n\nWith an inpainting checkpoint put InpaintModelConditioning in the place of Set Latent Noise Mask.": "## 调什么\n- **旧东西还有残留**：提高 *expand*，或降低 *quantile*。\n- **新东西不对**：换一个 *seed* 或 *cfg*；描述整幅图。\n- **保留旧东西的一部分**：降低 *denoise*。\n\n用局部重绘模型时，把 Set Latent Noise Mask 换成 InpaintModelConditioning。",
      "## A photo of any size\nThe photo is scaled down to what the checkpoint likes, edited there, scaled back, and laid into the original through Edit's own mask: **every pixel outside the mask is the original's**, in full resolution.": "## 任意大小的照片\n照片先缩小到模型喜欢的大小，在那里编辑，再放大，通过“编辑”自己的遮罩贴回原图：**遮罩之外的每个像素都是原图的**，分辨率不变。",
      "## What to turn\n- *megapixels*: 0.1 suits the small drawing checkpoint. **For photos 0**: the checkpoint's own size.\n- **A hard edge around the change**: raise *expand* of Grow Mask.\n\nOne concept here: with several, take Edit's *joined_mask*.\n\n**For photos** (SD 1.5, SDXL and their fine-tunes) choose a *preset* on each Concept, and set Schedule to steps 50 and skip 0.15.": "## 调什么\n- *megapixels*：0.1 适合画图形的小模型。**照片用 0**：模型自己的大小。\n- **改动周围有硬边**：提高 Grow Mask 的 *expand*。\n\n这里只有一个概念：有几个时，用“编辑”的 *joined_mask*。\n\n**用于照片**（SD 1.5、SDXL 及其微调模型）：在每个“概念”上选一个*预设*，把“调度”设为 steps 50、skip 0.15。",
      "## Edit a photo with Qwen-Image\n1. Load a photo.\n2. Write what to add and what to remove, and in *where* of both the thing that is to change; Chinese works too.\n3. Run.\n\nOnly want to add something? Select *Remove* and press Ctrl+B; in *where* of *Add* write what it stands on, and set *mask_mode* to intersect.": "## 用 Qwen-Image 编辑照片\n1. 加载一张照片。\n2. 写要添加和要去除的东西，两处的 *where* 都写要改的东西；中文也可以。\n3. 运行。\n\n只想添加？选中*去除*，按 Ctrl+B；在*添加*的 *where* 里写它要放在什么上面，把 *mask_mode* 设为 intersect。",
      "## What to turn\n- **Nothing changes**: *scale* 8, *skip* 0.1.\n- **Harsh colours**: *scale* 4. Flow models want less than SD 1.5.\n- **Too much changes**: *warmup* 5, *skip* 0.25.\n- **The photo's subject is lost**: describe the photo, connect that to *positive* of Invert, and set its *cfg* to 1 to 3.5.\n\nFirst values, from published settings of similar methods, not tuned with this model: change them one at a time.": "## 调什么\n- **没有变化**：*scale* 8，*skip* 0.1。\n- **颜色刺眼**：*scale* 4。流模型要比 SD 1.5 小。\n- **改得太多**：*warmup* 5，*skip* 0.25。\n- **照片的主体变了**：描述照片，接到“反演”的 *positive*，把它的 *cfg* 设为 1 到 3.5。\n\n起始值来自同类方法公布的设置，没有用这个模型调过：一次只改一个。",
      "## Edit a photo with Stable Diffusion 3.5\n1. Load a photo. Large and Medium work alike.\n2. Write what to add and what to remove, and in *where* of both the thing that is to change.\n3. Run.\n\nOnly want to add something? Select *Remove* and press Ctrl+B; in *where* of *Add* write what it stands on, and set *mask_mode* to intersect.": "## 用 Stable Diffusion 3.5 编辑照片\n1. 加载一张照片。Large 和 Medium 用法相同。\n2. 写要添加和要去除的东西，两处的 *where* 都写要改的东西。\n3. 运行。\n\n只想添加？选中*去除*，按 Ctrl+B；在*添加*的 *where* 里写它要放在什么上面，把 *mask_mode* 设为 intersect。",
      "## Edit with SDXL\nSDXL works best around one megapixel. The photo, whatever its size, is scaled to that; its sides become multiples of 64 and keep their proportions.\n\nAny SDXL checkpoint or fine-tune will do.": "## 用 SDXL 编辑\nSDXL 在一百万像素左右效果最好。照片不论多大，都会缩放到这个大小；边长是 64 的倍数，比例不变。\n\n任何 SDXL 模型或微调模型都可以。",
      "## What to turn\n- **Nothing changes**: *scale* 12, *skip* 0.05.\n- **The layout drifts**: *skip* 0.2, *warmup* 5.\n- **A small thing** (glasses, a mouth): *threshold* 0.95; **a large one**: 0.8.\n- **A style**: *mask_mode* noise, *threshold* 0.5, without *attention*.\n\nShort of memory? *megapixels* 0.6.": "## 调什么\n- **没有变化**：*scale* 12，*skip* 0.05。\n- **布局变了**：*skip* 0.2，*warmup* 5。\n- **小东西**（眼镜、嘴）：*threshold* 0.95；**大的**：0.8。\n- **换风格**：*mask_mode* noise，*threshold* 0.5，不接 *attention*。\n\n显存不够？*megapixels* 0.6。",
      "## Several changes at once\nChain Concept nodes: each has its own text, strength and place, and all act in one run.\n\nHere the photo is first asked where the two things are (*Probe Attention*). Each concept gets its place through *attention*, and *words* picks the thing out of the probed text.": "## 同时做几处改动\n把“概念”节点串联起来：每个都有自己的文本、强度和位置，一次运行全部起作用。\n\n这里先在照片中找出两样东西的位置（“探测注意力”）。每个概念通过 *attention* 得到自己的位置，*words* 从探测的文本中选出那样东西。",
      "## What to turn\nEach concept alone: *scale* for its strength, *threshold* for how much of the picture it may touch (0.89 leaves 89 % alone).\n\nA mask that misses its thing: write other words in its Probe Attention.\n\nA third change: copy a Concept, and connect the chain's end to its *concepts*.\n\n**For photos** (SD 1.5, SDXL and their fine-tunes) choose a *preset* on each Concept, and set Schedule to steps 50 and skip 0.15, Attention Store to resolution 0.": "## 调什么\n每个概念单独调：*scale* 是强度，*threshold* 决定可以动图像的多少（0.89 保留 89 %）。\n\n遮罩没有对准那样东西：在它的“探测注意力”里换别的词语。\n\n第三处改动：复制一个“概念”，把链的末端接到它的 *concepts*。\n\n**用于照片**（SD 1.5、SDXL 及其微调模型）：在每个“概念”上选一个*预设*，把“调度”设为 steps 50、skip 0.15，“注意力记录”的 resolution 设为 0。",
      "## Find good values by looking\n*Sweep* makes the same edit with several values of one or two settings, and lays the pictures out with their values below.\n\nOne inversion serves them all.": "## 看图找合适的值\n“对比表”用一两项设置的几个值做同样的编辑，把图像排在一起，下面写着各自的值。\n\n全部共用一次反演。",
      "## What to turn\n- *concept*: which one of the chain is varied, counted from 0.\n- *columns*, *rows*: the settings to vary; rows may be **none**.\n- Their values, with commas between them; up to 50 pictures a sheet.\n\nThen copy the values of the picture you like best into the Concept of the simple graph.\n\n**For photos** begin with scale 4, 7, 12 against threshold 0.95, 0.9, 0.8.": "## 调什么\n- *concept*：改变链中的哪一个，从 0 数起。\n- *columns*、*rows*：要改变的设置；rows 可以是 **none**。\n- 它们的值，用逗号隔开；一张拼图最多 50 幅图像。\n\n然后把你最喜欢的那幅图像的值抄到简单工作流的“概念”里。\n\n**用于照片**：先用 scale 4、7、12 对 threshold 0.95、0.9、0.8。",
      "## Try it without a checkpoint\nA drawing, and the small checkpoint that draws such: this pack's repository has it (`scripts/small_model/ledits-tiny.safetensors`). For a photo open *edit*.\n\nThe inversion is computed once. Change a concept and run again: only the edit is repeated.\n\nOnly want to add something? Select *Remove* and press Ctrl+B.": "## 没有模型也能试\n一幅图形，和画它的小模型：本插件的仓库里有（`scripts/small_model/ledits-tiny.safetensors`）。要编辑照片，请打开 *edit*。\n\n反演只算一次。改一个概念再运行：只有编辑会重做。\n\n只想添加？选中*去除*，按 Ctrl+B。",
      "## What to turn\n- **Nothing changes**: raise *scale*, lower *skip* or *warmup*.\n- **Too much changes**: raise *threshold* or *warmup*.\n- **The wrong thing changes**: name the thing in *words*, connect *attention*, or draw a *mask*.\n\n**For photos** (SD 1.5, SDXL and their fine-tunes) choose a *preset* on each Concept, and set Schedule to steps 50 and skip 0.15, Attention Store to resolution 0.": "## 调什么\n- **没有变化**：提高 *scale*，降低 *skip* 或 *warmup*。\n- **改得太多**：提高 *threshold* 或 *warmup*。\n- **变错了地方**：在 *words* 里写出那样东西，接上 *attention*，或画一个 *mask*。\n\n**用于照片**（SD 1.5、SDXL 及其微调模型）：在每个“概念”上选一个*预设*，把“调度”设为 steps 50、skip 0.15，“注意力记录”的 resolution 设为 0。",
      "## Where does each word look?\nOne look at a photo, without any edit: a map for each word, and masks cut from them.\n\nUse it to find words that your checkpoint places well, before you spend time on an edit, or as a mask from a text for any other node.": "## 每个词语关注哪里？\n看一次照片，不做编辑：每个词语一张热力图，以及由它得到的遮罩。\n\n编辑之前，用它找出你的模型能找准位置的词语；也可以用它从文本得到遮罩，给别的节点用。",
      "## What to turn\n- **Map too spotty**: another *noise_level*. Low values (0.2) see texture, high ones (0.8) only layout.\n- **Mask too large or too small**: *quantile*; 0.89 takes the 11 % that the words look at most.\n- **Soft edges**: switch *binary* off.\n- **Finer cells**: Attention Store *resolution*. 0 is right for photos on SD 1.5 and SDXL.\n- **Is the map sure?** Another *seed* shows it.": "## 调什么\n- **图太零碎**：换一个 *noise_level*。小的值（0.2）只看纹理，大的（0.8）只看布局。\n- **遮罩太大或太小**：*quantile*；0.89 取词语最关注的 11 %。\n- **柔和的边缘**：关掉 *binary*。\n- **更细的格子**：“注意力记录”的 *resolution*。用 SD 1.5 和 SDXL 编辑照片时 0 正好。\n- **这张图可靠吗？**换一个 *seed* 就知道。",
      "## Edit a photo with Z-Image-Turbo, in 8 steps\n1. Describe the photo as it is (*Photo as it is*).\n2. Write the same with your change (*Photo as it should be*), and in *where* the thing that is to change.\n3. Run.\n\nA model of few steps has its guidance built in, so a change is the difference of two descriptions. Schnell, Klein and Lightning work the same way.": "## 用 Z-Image-Turbo 编辑照片，只要 8 步\n1. 描述照片现在的样子（*照片现在的样子*）。\n2. 写同样的话，加上你的改动（*照片应有的样子*），在 *where* 里写要改的东西。\n3. 运行。\n\n步数很少的模型自带引导，所以改动就是两段描述之差。Schnell、Klein 和 Lightning 也是这样。",
      "## What to turn\n- **Nothing changes**: *scale* 3, *skip* 0.05.\n- **Harsh colours**: *scale* 1.5.\n- **Too much changes**: *skip* 0.2.\n- **The mask misses the thing**: other words in *where*, or another *seed* of Invert.\n- **To add a thing**: in *where* what it stands on, *mask_mode* intersect.\n\nFirst values, from published settings of similar methods, not tuned with this model: change them one at a time.": "## 调什么\n- **没有变化**：*scale* 3，*skip* 0.05。\n- **颜色刺眼**：*scale* 1.5。\n- **改得太多**：*skip* 0.2。\n- **遮罩没有对准**：在 *where* 里换别的词语，或换“反演”的 *seed*。\n- **添加一样东西**：在 *where* 里写它要放在什么上面，*mask_mode* 用 intersect。\n\n起始值来自同类方法公布的设置，没有用这个模型调过：一次只改一个。"
    }
  }
};

function translate(graph, { groups, titles, notes }) {
  if (!graph.groups.length || !graph.groups.every((group) => groups[group.title])) return;
  for (const group of graph.groups) group.title = groups[group.title];
  for (const node of graph.nodes) {
    node.title = titles[node.title] ?? node.title;
    const note = node.type === "MarkdownNote" && node.widgets[0];
    if (note) note.value = notes[note.value] ?? note.value;
  }
}

app.registerExtension({
  name: "ledits.workflow_texts",
  afterConfigureGraph() {
    const texts = TEXTS[app.extensionManager.setting.get("Comfy.Locale")];
    if (!texts) return;
    for (const graph of [app.rootGraph, ...(app.rootGraph.subgraphs?.values() ?? [])]) translate(graph, texts);
  },
});
