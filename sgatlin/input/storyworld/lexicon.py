# SPDX-License-Identifier: Apache-2.0
"""Every word of the story world and its class, for analyses to score against.

A word has one class, that of its main sense here ("orange" is a colour, "stamps" are objects).
"""

import functools

from sgatlin.input.storyworld import words as words

CLASSES = {
    "animal": """
        animals ants badger bats bear beaver bee bees bird birds blackbird butterflies butterfly
        calf camel canary cat chick cow cows crab crane crocodile crow cuckoo deer dinosaur dog
        donkey dove dragon duck ducks elephant finch fish flamingo flea flies fox frog frogs
        giraffe goat goldfinch goose guinea gull gulls hamster hedgehog hen hippo horse horses
        jay kangaroo kingfisher kitten koala lamb lark lion magpie magpies mice mole monkey
        moose moth moths mouse nightingale octopus otter owl panda parrot peacock penguin pig
        pigeon pony puppy rabbit raccoon robin seal seals sheep shrimp snail snails sparrow
        sparrows spider squirrel starfish starling stork swallow swan thrush tiger turtle
        unicorn wasps whale whales wolf wolves woodpecker worms wren zebra""",
    "person": """
        aunt baby baker boy boys brother captain carpenter child children classmate coach
        conductor cook cousin crowd dad darling dentist doctor driver fairy family farmer
        fisherman fool friend friends gardener genie ghost giant girl grandma grandpa granny
        hermit keeper king kings librarian mama man mayor mermaid miss mom monster neighbor
        neighbors nurse owner painter papa people pilot pirate pirates princess professor queen
        sailor shepherd sheriff sister soldier sweetheart tailor teacher twins uncle widow wife
        wizard woman""",
    "body": """
        arms beak bellies belly breath cheek cheeks chin claws ear ears elbows eye eyes face
        faces feet finger fins foot freckles fur hair hand hands head heart hoof knee knees leg
        legs lip mane mouth nose noses paw paws plumes rib shell sleeve spine spines stomach
        tail teeth throat thumb toe toes tongue tongues tooth tummy voice voices wing wings
        wrist""",
    "place": """
        airport attic bakery bank banks barn bathtub bay beach bed boathouse bookshop bridge
        brook castle cave city clearing cliff corner cottage country crossing den ditch doghouse
        fair farm field fields floor forest fountain garden gorge grassland grove hall harbor
        henhouse highlands hill hive home hospital house houseboat hut inn island jungle kennel
        kitchen lagoon lake land lane lawn library lighthouse lodge market marsh meadow mill
        mountain nest ocean office orchard palace pantry park path place pond pool porch railway
        river road roof roofs room ruin school sea shade shed shop shore slope spot square
        stable stairs stall stalls station stream street theater thicket town trail trampoline
        tunnel tunnels valley village volcano world yard zoo""",
    "object": """
        accordion airplane armchair arrow badge bag ball balloon balloons band bandage banjo
        barrel basket baskets bath baths bead beads beam beams bell bench bicycle bike bin
        birdhouse blanket block blocks board boards boat boats book bookmark books bottle
        bouquet bowl bowls box boxes bracelet brick brooch broom brush bubble bucket buckets
        buckle bundle bus button buttons candles car card carpet cart case ceiling cello chair
        chairs chess chest chimney clarinet clock closet cloth clothes cobwebs coin coins
        compass cork cotton couch covers crate crayon crayons crown cup cupboard cups curtain
        curtains cushion cutter dam dams desk dice doll door doors doorstep drain drawer drawing
        driftwood drum drums dust duster envelope fan feather feathers fence fences ferry flag
        flashlight flute fork frame gate gates glass glasses glitter glue guitar hammock
        handkerchief harmonica harp hook horn horns invitation iron jar jars jug kettle key kite
        kites knife knot ladder lamp lamps lantern lanterns laundry letter letters lid line list
        locket log logs loom loop machine magnet mail mailbox mandolin map marble marbles mast
        medal mess message mirror money mug napkin napkins net news newspaper note organ oven
        pad page pages pan paper parasol parcel pegs pen pencil pencils phone photo piano
        picture piece pieces pile pillow plane plate pocket pockets poem poems post postcard
        posts pot pots present presents prize puppet purse puzzles rack raft rafts rake recorder
        reins ribbon ring rings robot rocket rod roller rope ropes rug sack sacks sail sailboat
        sails saxophone scarecrow scissors scooter seat seesaw sheet shelf ship shirts shovel
        shutter silk sill sink skates sled slide snare snowball snowballs snowman soap sofa
        splinter splinters spoon spoons spout stamp stamps step steps stick sticker sticks stool
        stove strap straws string suitcase swing table tablecloth tag tambourine tank tap tassel
        teapot teddy telescope tent thimble thing things thread ticket tin top tower towers toy
        toys tractor trailer train tray treasure truck trumpet trunk tuba tweezer ukulele
        umbrella vase violin wagon wall wallet walls wax web wheel wheels whistle windmill
        window windows wool xylophone""",
    "clothing": """
        apron beret boots cap cape caps cardigan coat dress hat hats hood jacket jeans masks
        mitten mittens necklace pajamas poncho raincoat scarf scarves shirt shoe shoes skate
        sleeves sock socks sweater swimsuit vest""",
    "food": """
        apple apples apricots bagel bananas bean beans beet berries berry blackberries
        blueberries bread breakfast brownie bun butter cabbage cake carrot cheese cherries
        cherry chocolate cider cocoa coconut cookie cookies corn cream croissant crumb crumbs
        crust cupcake curry dinner dough doughnut dumplings eggs figs flour food ginger
        gingerbread gooseberries grapes ham herbs honey ice jam jelly juice kiwis lasagna lemon
        lemonade licorice loaf lunch malt mango meatballs medicine melon milk mint muffin
        mushroom mushrooms nectarines noodles nut nuts omelet onion onions oranges pancake
        pancakes papayas pasta peach peanut pear pears peas pie pizza plum plums porridge potato
        potatoes pretzel pudding pumpkin pumpkins radish raspberries ravioli rice salad salt
        sandwich sausages seed seeds slice snack soup stew strawberries strawberry strudel sugar
        supper tangerines tart tea toast tomato tomatoes turnip waffle walnut""",
    "plant": """
        acorn asters bamboo beech birch birches bluebells bramble brambles branch branches bush
        bushes buttercups cactus cedar chamomile chestnut clover cornflowers daffodils daisies
        daisy dandelions elm fig fir flower flowers grass gum hay hazel hedge hyacinths leaf
        leaves lilies lily lime maple marigolds moss oak orchids palm palms pansies peonies pine
        pinecone plant poplar poppies primroses reeds root roots roses seaweed snowdrops straw
        sunflower sunflowers thistles thorns tree trees treetop treetops tulip tulips twig twigs
        violets willow wood woods""",
    "nature": """
        air clay cloud clouds coal dew drop drops earth echo fire flash foam fossil ground gust
        icicle lightning mist moon mud pearls pebble pebbles puddle rain rainbow raindrop rock
        rocks sand seashell shadows shells sky smoke snow snowflakes star stars stone stones
        storm sun sunset thunder tide water waterfall wave waves weather wind""",
    "time": """
        afternoon age april august autumn bedtime birthday dawn day days evening friday hour
        hours july june minute moment monday month months morning night nights noon september
        spring summer sunday thursday time times today tomorrow tonight tuesday wednesday week
        weeks winter winters year years yesterday""",
    "colour": """
        beige black blue brown gold golden gray green orange pink purple red silver turquoise
        violet white yellow""",
    "feeling": """
        afraid alarmed angry annoyed ashamed bored calm cheerful content cross delighted
        downcast elated flattered frightened furious glad gloomy glum grumpy happy heartbroken
        jealous joyful mad merry miserable nervous overjoyed pleased sad scared sorry surprised
        terrified thrilled tired unhappy upset""",
    "adjective": """
        alive asleep awake bad beautiful best better big bigger biggest bossy brave breezy
        bright broken bushy busy careful cheeky clean clear clever closed cold crisp crooked
        crowded crunchy curious damp dark dead dear deep delicious different dreamy dry dull
        early easy empty equal exciting extra fallen fast fat favorite fine finer finest flat
        fluffy flying fragile free fresh friendly full fun funnier funniest funny gentle
        glorious good grand great greatest handy hard heavier heavy helpful high higher highest
        hollow hot huge hungrier hungry hurt interesting juicy kind last late lazy leafy left
        less light lively lonely long longer loose lost loud louder loudest lovely low loyal
        magic mean meaner messiest mild missing misty mossy muddy musical narrow nasty near new
        next nice nicer noisy odd old open own paler patient perfect plain pleasant polite poor
        prickly proud quick quiet rainy ready rich right rocky round rude ruined safe safest
        salty same sandy sensible shallow shiny short shy sick silly single slow slower small
        smaller smallest smart smelly soft softer sore sour spinning steep sticky straight
        strange strong stronger stubborn stuck sudden sunny sure sweet tall terrible thick
        thirsty thoughtful tidy tight tighter tiny true unfair useless warm weak wet whipped
        whole wide windy wise wobbly wonderful wooden worse wrong young""",
    "number": """
        eight eleven fifth five four fourth half halves hundred nine once one ones second seven
        seventh six sixth ten tenth third three twelve twenty twice two""",
    "pronoun": """
        anyone anything each everybody everyone everything he her herself him himself his i it
        its itself me mine my nobody nothing our she somebody someone something that their
        theirs them they this us we what which who whoever whose you your yours yourself""",
    "determiner": """
        a all an another any both either enough every many more most much neither no other
        others some the""",
    "preposition": """
        about above across after against along among apart around at away before behind below
        beneath beside between by down except for from in inside into like of off on onto out
        outside over past through to toward under until up upon upside with without""",
    "conjunction": """
        and as because but if or since so than though when where while""",
    "adverb": """
        again ago ahead almost alone already also always anymore anyway anywhere aside back
        backward badly carefully closer deeply else even ever everywhere far farther faster
        first forever forth fro halfway hardly here how however instead just later loudly maybe
        mostly nearby nearly never not now often only peacefully perfectly perhaps quickly
        quietly slowly sometimes somewhere soon soundly still suddenly then there together too
        very well why yet""",
    "sound": """
        achoo ahoy bang boo boom clack click crunch goodbye grr hello hey hi hic hoo hush oh
        ouch please plop rumble rustle scratch snap splash squeak tack tick w whoopee whoosh yes""",
    "noun": """
        accident ache advice alphabet applause art ballad bit bite bites bottom bow brim bump
        buzz circle circles circus color colors concert course crack creak dance dot dots dream
        edge end fall feast fever fight finish friendship fright front game games gift giggle
        harvest headache heap hiccups hole holes hump hymn idea inch job joke jokes leapfrog lie
        life load look lot lullaby lump march mark matter melody middle might miles milestones
        mind mistake mistakes music name names noise orders pair pairs parade part party picnic
        plenty polka purpose quarrel questions race reward riddle riddles row rules scoops
        secret serenade shame shape side sides sight size sneeze snore sob song songs sound
        space speck start stories story strength stretch surprise swarm talent tear tears touch
        tracks trick tricks trip truth tune turn turns verses view visit waltz way wedding will
        wink wish word words work""",
    "verb": """
        add agree agreed allowed am answer answered answers appeared are argued arrive ask asked
        ate bake banged barked bathed be beat became become been began begged begin belonged
        bend bent bet bless blew blink blinked blocked blow borrow bought bounced bowed break
        breathe breathed bring broke brought build built bumped burned burst buy buzzed call
        called came can cannot care carried carry carve carved catch caught changed chase chased
        chat cheered chewed chirped chooses clapped cleaned climb climbed climbing close collect
        come comes coming complain complained cooks cough could count counted counting cover
        covered cracked crawl creaked crept cried crossed cry crying cuddle curled cut cuts
        danced dancing dare dared decide decided deliver did dig dipped disappeared diving do
        does done drag dragged drank draw drawn dreamed drew dried drifted dripped dropped
        drummed ducked dug earn eat eaten ended enjoy faded fail failed fed feel feels fell felt
        fetch fetched fill filled find finished fit fix flapped flew flipped floated flowed
        flutter fly follow followed fooled forget forgot forgotten fought found gallop gathered
        gave get gets giggled give given gives gleamed glided glittered glowed gnaw go goes
        going gone got grabbed greeted grew grinned groaned grow growing grown guarded guess had
        hang hangs happened has have healed hear heard hears held help helped helps hiccuped hid
        hidden hide hit hold honked hop hoped hopes hopped howl howled hug hugged hugs hum
        hummed hums hung hurried hurry invent invited is itch itched join juggle juggled jump
        jumped keep kept kick kicked kiss kissed knew knit knock knocked know knows landed laugh
        laughed laughing lay leaned leaped learn learned leave led let lick licked lifted liked
        likes listen listened lit little live lived locked looked looks lose love loved made
        make makes making marched marching may meant measured meddle meet melted mended met
        missed mixed move moved munch must nailed named nap need needed needs nibble nodded
        noticed offered opened packed paddle paddled paint painted panted pass passed pat patch
        patched patted peek peeked peeled peep pick picked picks planned planted play played
        pointed popped pouted practiced pretend pretended promised puffed pull pulled pulls
        pushed put quarreled raced racing rained ran rang rattled reach reached read reading
        remember remembered rest rested ridden ride rides ripped rise roar rocked rocking rode
        roll rolled rose run rung running rushed rustled said sailed sailing sang sank sat save
        saved saving saw say scold scolded scraped scratched screamed searched see seek seemed
        seen sees sent sentence served set sew sewed shake shall share shared shares shine
        shining shiver shone shook shot should shout shouted show showed shrugged shut sighed
        sing singing sit skated skip skipped slammed sleep sleeping sleeps slept slid sliding
        slip slipped slurped smell smelled smells smile smiled smiling snapped snatch snatched
        sneezed sniff sniffed snored snowed sold solve sounded sparkled spend spent splashed
        split spoke spotted spread spun squeaked squeeze squeezed stamped stand stared started
        stay stayed steam steamed steered stepped stepping stirred stole stolen stood stop
        stopped strung strut study stuffed swallowed swam swap sway swayed sweep swept swim
        swimming swirled swung take takes talk talked talking talks tapped taste tasted taught
        teach tell telling thank think thought threw ticked tickle tickled tidied tie tied
        tipped tiptoe told took tore torn traded tried tripped trotted try tucked turned untie
        use used vanished visited wagged wait waited waiting wake walk walked want wanted wants
        warmed was wash washed washing watch watched watered waved weave went were whisper
        whispered whispers whistled win winked wiped wished woke won wonder wondered wore worked
        works worn would wound wrap wrapped write wrote yawned yelled""",
}


@functools.cache
def _lexicon() -> dict[str, str]:
    names = (words.GIRLS, words.BOYS, words.SHE_BEASTS, words.HE_BEASTS, words.SURNAMES)
    classes = {word: "name" for table in (*names, words.TABLES["petname"]) for word in table}
    for word_class, members in CLASSES.items():
        classes |= dict.fromkeys(members.split(), word_class)
    return classes


def lexicon() -> dict[str, str]:
    """Word -> class: names as they are written, all other words in lower case."""
    return dict(_lexicon())
